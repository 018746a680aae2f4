"""How many lines journald and rsyslog let pass, and where rsyslog puts mail, out of their configuration. Pure.

Both formats are read as far as these few settings; whatever else stands there is passed over.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

# journald.conf(5): the defaults since systemd 240.
_JOURNALD_SECONDS, _JOURNALD_BURST = 30.0, 10_000
# Fewer than with rsyslog's defaults: somebody has set a limit that a day's mail reaches.
ORDINARY_LINES_EACH_SECOND = 20_000 / 600
# rsyslog's imjournal: the defaults of its documentation.
_IMJOURNAL_SECONDS, _IMJOURNAL_BURST = 600.0, 20_000
# As systemd.time(7) has them.
_UNITS = {
    "us": 1e-6,
    "usec": 1e-6,
    "ms": 1e-3,
    "msec": 1e-3,
    "": 1.0,
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "seconds": 1.0,
    "m": 60.0,
    "min": 60.0,
    "minute": 60.0,
    "minutes": 60.0,
    "h": 3600.0,
    "hr": 3600.0,
    "hour": 3600.0,
    "hours": 3600.0,
    "d": 86_400.0,
    "day": 86_400.0,
    "days": 86_400.0,
}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")
_ASSIGNMENT = re.compile(r"^\s*(\w+)\s*=\s*(.*?)\s*$")
_SELECTOR = re.compile(r"^([\w*,;.=!]+)\s+(-?)(/\S+)")
_MODULE = re.compile(r"(?:module|input)\s*\((.*?)\)", re.DOTALL | re.IGNORECASE)
_PARAMETER = re.compile(r'([\w.]+)\s*=\s*"([^"]*)"')
_LEGACY = re.compile(
    r"^\s*\$(IMUXSockRateLimitInterval|SystemLogRateLimitInterval)\s+(\d+)", re.MULTILINE | re.IGNORECASE
)
_ACTION_FILE = re.compile(r'action\s*\([^)]*?type\s*=\s*"omfile"[^)]*?file\s*=\s*"([^"]+)"', re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True)
class Limit:
    """``lines`` in ``seconds``, then the rest is thrown away."""

    seconds: float
    lines: int

    @property
    def lines_each_second(self) -> float:
        """What may come for ever."""
        return self.lines / self.seconds


def span_seconds(text: str) -> float | None:
    """A time span of systemd's (``1min 30s``); None: it is none."""
    parts = _SPAN.findall(text.strip().lower())
    if not parts or _SPAN.sub("", text.strip().lower()).strip() or any(unit not in _UNITS for _, unit in parts):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def journald_limit(text: str) -> Limit | None:
    """Of journald.conf with all its drop-ins, in their order; None: journald throws nothing away.

    The limit is for each service; it is higher where the disk has much room (journald.conf(5)).
    """
    seconds, burst, section = _JOURNALD_SECONDS, _JOURNALD_BURST, ""
    for line in text.splitlines():
        if line.strip().startswith("["):
            section = line.strip()
        found = _ASSIGNMENT.match(line)
        if found is None or section != "[Journal]":
            continue
        if found[1] == "RateLimitIntervalSec":
            given = span_seconds(found[2]) if found[2] else _JOURNALD_SECONDS
            seconds = seconds if given is None else given
        elif found[1] == "RateLimitBurst":
            burst = int(found[2]) if found[2].isdigit() else burst if found[2] else _JOURNALD_BURST
    return Limit(seconds, burst) if seconds > 0 and burst > 0 else None


def rsyslog_limits(text: str) -> dict[str, Limit]:
    """Of rsyslog.conf with what it includes: what its inputs throw away, by module; none where there is no limit."""
    text = _without_comments(text)
    limits: dict[str, Limit] = {}
    for found in _MODULE.finditer(text):
        given = {name.lower(): value for name, value in _PARAMETER.findall(found[1])}
        name = given.get("load", given.get("type", "")).lower()
        if name == "imjournal":
            seconds = _number(given.get("ratelimit.interval"), _IMJOURNAL_SECONDS)
            burst = _number(given.get("ratelimit.burst"), _IMJOURNAL_BURST)
        elif name == "imuxsock":
            seconds = _number(given.get("syssock.ratelimit.interval", given.get("ratelimit.interval")), 0)
            burst = _number(given.get("syssock.ratelimit.burst", given.get("ratelimit.burst")), 200)
        else:
            continue
        if seconds > 0 and burst > 0:
            limits[name] = Limit(seconds, int(burst))
    for _, seconds_text in _LEGACY.findall(text):
        if int(seconds_text):
            limits["imuxsock"] = Limit(float(seconds_text), 200)
    return limits


def rsyslog_mail_files(text: str) -> tuple[str, ...]:
    """The files into which rsyslog writes all that the mail system says, however unimportant."""
    text = _without_comments(text)
    files: list[str] = []
    for line in text.splitlines():
        found = _SELECTOR.match(line.strip())
        if found is not None and takes_all_mail(found[1]):
            files.append(found[3])
    for block in re.findall(r"^\s*(mail\.\*|\*\.\*)\s+(action\s*\(.*?\))", text, re.DOTALL | re.MULTILINE):
        files += _ACTION_FILE.findall(block[1])
    return tuple(dict.fromkeys(files))


def takes_all_mail(selector: str) -> bool:
    """Whether a selector of syslog.conf(5) lets every line of the mail facility through."""
    takes = False
    for part in selector.split(";"):
        facilities, _, priority = part.rpartition(".")
        if not {"mail", "*"} & set(facilities.lower().split(",")):
            continue
        if priority.lower() in ("*", "debug"):
            takes = True
        elif priority.lower().startswith(("none", "!", "=")):
            takes = False
    return takes


def _without_comments(text: str) -> str:
    return "\n".join("" if line.lstrip().startswith("#") else line for line in text.splitlines())


def _number(text: str | None, default: float) -> float:
    try:
        return float(text) if text is not None else default
    except ValueError:
        return default


def worst(limits: Iterable[Limit]) -> Limit | None:
    """The one that lets the fewest lines through."""
    return min(limits, key=lambda limit: limit.lines_each_second, default=None)
