"""The part of a log line that the logger wrote: time, host, program, process. Pure.

Reads the forms of postlogd (``maillog_file``), RFC 3164, RFC 3339 time stamps, RFC 5424, with the year in front, and
behind what containers' tools write before a line. Knows nothing of Postfix's own text (`grammar` does) except where a
queue id stands, reads no clock and no file; journald's lines are `journald`'s matter, what stamps leave out `stamps`'.
"""

import datetime as dt
import re
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from sendproof_logparser import queue_id, stamps
from sendproof_logparser.stamps import Clues, Local

Who = TypeVar("Who")

_MONTHS = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), start=1
    )
}
# 60 is a leap second.
_WITHIN_THE_HOUR = {
    f"{minute:02}:{second:02}": dt.timedelta(minutes=minute, seconds=min(second, 59))
    for minute in range(60)
    for second in range(61)
}
# "Jan 02 15:04:05 " (util/msg_logger.c: strftime "%b %d %H:%M:%S "); RFC 3164 has a blank for the day's zero.
_PLAIN_STAMP = len("Jan 02 15:04:05 ")
# With a fraction, no two prefixes are the same.
_LONGEST_REPEATED_STAMP = len("2023-03-14T00:00:31+01:00")
# How many different prefixes, processes and hours are known at a time.
_PREFIXES = 8192
_PROCESSES = 32768
_HOURS = 4
_LONGEST_PROCESS = 300
# A file's year and zones are looked for in so many of its first lines.
_FIRST_LINES = 500
_BEFORE_THE_FIRST_LINE = dt.timedelta(days=30)
# What claims to be older is no time of a log: by it the year of the stamps that follow would be told.
_FIRST_MOMENT = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_YEAR = dt.timedelta(days=366)
_LARGEST_PID = 2**31 - 1

# What is left of a crash (NUL); what `docker compose logs` and `kubectl logs --prefix` write; a priority (RFC 3164).
_COLOUR = r"(?:\x1b\[[0-9;]*m)*"
_BEFORE = re.compile(rf"[\0\s\ufeff]*+(?:{_COLOUR}[\w./-]{{1,200}} *\|\s*+{_COLOUR}\s*+)?(?:<[0-9]{{1,3}}>)?")
# The year in front is that of a custom template, the fraction that of `journalctl -o short-precise`.
_YEARLESS = re.compile(
    r"(?:([0-9]{4}) )?([A-Z][a-z]{2}) {1,2}([0-9]{1,2}) ([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]{1,9}))? "
)
_ISO = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2})(?:[.,]([0-9]{1,9}))?(Z|[+-][0-9]{2}:?[0-9]{2})? "
)
# What container runtimes write after their own time stamp; the one of the log may follow.
_AFTER_RUNTIME_STAMP = re.compile(r"(?:std(?:out|err) [FP] )?")
# RFC 5424 section 6: VERSION SP TIMESTAMP SP HOSTNAME SP APP-NAME SP PROCID SP MSGID SP STRUCTURED-DATA [SP MSG]
_RFC_5424 = re.compile(
    r"1 (?=[0-9])(?P<stamp>[^ ]+ )(?P<host>[^ ]+) (?P<program>[^ ]+) (?P<pid>[^ ]+) [^ ]+ "
    r'(?:-|(?>(?:\[[^\]"]*+(?>(?:"(?>(?:[^"\\]|\\.)*)"[^\]"]*+)*)\])+))(?: +|$)\ufeff?'
)
# The beginning of a text with a long queue id; smtpd and pickup write these lines when the queue file has been made.
_LONG_ID = re.compile(r"([0-9A-Za-z]{12,40}): (client=|uid=[0-9])?")


class SyslogLine(NamedTuple):
    """One line taken apart."""

    at: dt.datetime
    host: str
    # The whole tag, such as ``postfix/submission/smtpd``
    program: str
    # 0 where the logger wrote none
    pid: int
    text: str


class LineReader(Generic[Who]):
    """Takes the lines of one log apart, one after the other.

    Fast where lines repeat what the ones before had: most do.
    """

    def __init__(
        self,
        identify: Callable[[str, str, int], Who],
        zone: dt.tzinfo,
        reference: dt.datetime | None,
        *,
        latest: dt.datetime,
        beginning: str = "",
    ) -> None:
        """Begin at the log's first line, or after the line of the moment ``reference``.

        Args:
            identify: makes what `read` gives, of host and program tag as logged and the pid (0: none); what it made is
                given again for the same three.
            zone: of stamps that name none.
            reference: `newest` of the reader before, so that the moments are the same as without a restart.
            latest: no line is from much later than this: when the file was written to. The attribute may be set anew.
            beginning: the first lines of the file: their long queue ids tell the year of the first stamps, and a host
                whose stamps are evidently of another zone than ``zone``.
        """
        self.newest = reference
        self.latest = latest
        self._identify = identify
        self._zone = zone
        self._zones: dict[str, dt.tzinfo] = {}
        self._prefixes: dict[str, tuple[dt.datetime, Who]] = {}
        # Who it is, and what the hours of his zone mean.
        self._processes: dict[str, tuple[Who, dict[str, dt.datetime]]] = {}
        self._hours: dict[dt.tzinfo, dict[str, dt.datetime]] = {}
        if beginning:
            self._learn(beginning)

    def read(self, line: str) -> tuple[dt.datetime, Who, str] | None:
        """The moment (UTC), whose line it is, and what it says; None if it has none of the known forms.

        ``line``: without its newline.
        """
        prefix, _, text = line.partition("]: ")
        found = self._prefixes.get(prefix)
        if found is None:
            return self._read_known_process(line, prefix, text) or self._read_any(line, prefix)
        at, who = found
        self.newest = at
        return at, who, text

    def _read_known_process(self, line: str, prefix: str, text: str) -> tuple[dt.datetime, Who, str] | None:
        """Read a line that differs from earlier ones in its stamp only."""
        if line[10:11] == "T":
            stamp, _, process = prefix.partition(" ")
            known = self._processes.get(process)
            if known is None:
                return None
            try:
                at = dt.datetime.fromisoformat(stamp)
            except ValueError:
                return None
            if at.tzinfo is None:
                return None
            if at.tzinfo is not dt.UTC:
                try:
                    at = at.astimezone(dt.UTC)
                except OverflowError:
                    return None
            is_repeated = len(stamp) <= _LONGEST_REPEATED_STAMP
        else:
            known = self._processes.get(prefix[_PLAIN_STAMP:])
            if known is None:
                return None
            hour = known[1].get(line[:9])
            within = _WITHIN_THE_HOUR.get(line[10:15])
            if hour is None or within is None or line[9] != ":" or line[15] != " ":
                return None
            at = hour + within
            is_repeated = True
        if at < _FIRST_MOMENT:
            return None
        if is_repeated:
            self._remember(prefix, at, known[0])
        self.newest = at
        return at, known[0], text

    def _read_any(self, line: str, prefix: str) -> tuple[dt.datetime, Who, str] | None:
        parts = _take_apart(line)
        if parts is None:
            return None
        zone = self._zones.get(parts.host, self._zone)
        hours = self._hours.setdefault(zone, {})
        at = self._moment(parts, zone, hours)
        if at is None or at < _FIRST_MOMENT:
            return None
        # Only then is the first "]: " the end of the tag.
        is_plain = len(prefix) + len("]: ") + len(parts.text) == len(line)
        process = prefix[parts.process_begins :] if is_plain else f"{parts.host} {parts.program}[{parts.pid}"
        known = self._processes.get(process)
        who = self._identify(parts.host, parts.program, parts.pid) if known is None else known[0]
        if known is None and len(process) <= _LONGEST_PROCESS:
            if len(self._processes) >= _PROCESSES:
                self._processes.clear()
            self._processes[process] = (who, hours)
        if is_plain and parts.hour in hours and len(process) <= _LONGEST_PROCESS:
            self._remember(prefix, at, who)
        self.newest = at
        return at, who, parts.text

    def _moment(self, parts: "_Parts", zone: dt.tzinfo, hours: dict[str, dt.datetime]) -> dt.datetime | None:
        if isinstance(parts.stamp, dt.datetime):
            return parts.stamp
        within = dt.timedelta(minutes=parts.stamp.minute, seconds=parts.stamp.second)
        if parts.hour in hours:
            return hours[parts.hour] + within
        at = stamps.place(parts.stamp, zone, self._clues(parts.text))
        if at is None or not parts.hour:
            return at
        # What the next stamps of this hour mean is known, unless it is the one in autumn that comes twice.
        if stamps.begins_plain_hour(parts.stamp._replace(year=at.astimezone(zone).year), zone):
            if len(hours) >= _HOURS:
                hours.clear()
            # Else the same prefix might mean last year's.
            self._prefixes.clear()
            hours[parts.hour] = at - within
        return at

    def _clues(self, text: str) -> Clues:
        match = _LONG_ID.match(text)
        born = queue_id.birth(match[1]) if match is not None else None
        if match is None or born is None or born > self.latest + dt.timedelta(days=1):
            return Clues(self.newest, self.latest)
        return Clues(self.newest, self.latest, born, match[2] is not None)

    def _learn(self, beginning: str) -> None:
        births = []
        for line in beginning.split("\n", _FIRST_LINES)[:_FIRST_LINES]:
            parts = _take_apart(line)
            clues = self._clues(parts.text) if parts is not None else None
            if parts is None or clues is None or clues.born is None or isinstance(parts.stamp, dt.datetime):
                continue
            births.append(clues.born)
            zone = stamps.zone_at_birth(parts.stamp, self._zone, clues.born) if clues.is_birth else None
            if zone is not None and zone is not self._zone:
                self._zones.setdefault(parts.host, zone)
        if births and self.newest is None:
            # Well before the first line: of two years or hours that it may mean, the earlier one comes first.
            self.newest = max(births) - _BEFORE_THE_FIRST_LINE

    def _remember(self, prefix: str, at: dt.datetime, who: Who) -> None:
        if len(self._prefixes) >= _PREFIXES:
            self._prefixes.clear()
        self._prefixes[prefix] = (at, who)


class ReaderOfGivenYear(LineReader[Who]):
    """For a log whose first year somebody has said: what queue ids seem to say counts for nothing then."""

    def __init__(
        self, identify: Callable[[str, str, int], Who], zone: dt.tzinfo, year: int, latest: dt.datetime
    ) -> None:
        """``latest``: as for `LineReader`, unless that is impossible in that year."""
        begins = dt.datetime(year, 1, 1, tzinfo=zone).astimezone(dt.UTC)
        super().__init__(identify, zone, begins + stamps.YEAR_SLACK, latest=max(latest, begins + 2 * _YEAR))

    def _clues(self, _text: str) -> Clues:
        return Clues(self.newest, self.latest)


def parse(line: str, zone: dt.tzinfo, newest: dt.datetime) -> SyslogLine | None:
    """Take a single line apart; None if it has none of the known forms.

    Args:
        line: without its newline.
        zone: of time stamps that name none.
        newest: a stamp without a year means the last such day not after this moment.
    """
    read = LineReader(lambda host, program, pid: (host, program, pid), zone, None, latest=newest).read(line)
    return SyslogLine(read[0], *read[1], read[2]) if read is not None else None


class _Parts(NamedTuple):
    stamp: Local | dt.datetime
    # "Jan 02 15", where that begins a stamp of the usual form; else empty.
    hour: str
    # Where host and program begin in the line.
    process_begins: int
    host: str
    program: str
    pid: int
    text: str


def _take_apart(line: str) -> _Parts | None:
    before = _BEFORE.match(line)
    begin = before.end() if before is not None else 0
    header = _RFC_5424.match(line, begin)
    if header is not None:
        dated = _dated(header["stamp"], 0)
        if dated is None:
            return None
        text = line[header.end() :]
        return _Parts(dated[0], "", begin, header["host"], header["program"], _pid(header["pid"]), text)
    dated = _dated(line, begin)
    if dated is None:
        return None
    stamp, end = dated
    is_usual = end - begin == _PLAIN_STAMP and line[begin + 9] == ":"
    hour, begin = line[begin : begin + 9] if is_usual else "", end
    if isinstance(stamp, dt.datetime):
        after = _AFTER_RUNTIME_STAMP.match(line, begin)
        inner = _YEARLESS.match(line, after.end() if after is not None else begin)
        begin = inner.end() if inner is not None else begin
    host, _, rest = line[begin:].partition(" ")
    tag, colon, text = rest.partition(": ")
    if " " in tag:  # a logger that left out the colon after the tag: `postfix/smtpd[2717] 6CB5F45B78: client=...`
        tag, _, text = rest.partition(" ")
    elif not colon:
        tag = tag.removesuffix(":")
    if not host or not tag:
        return None
    program, bracket, number = tag.partition("[")
    return _Parts(stamp, hour, begin, host, program, _pid(number.removesuffix("]")) if bracket else 0, text)


def _dated(line: str, begin: int) -> tuple[Local | dt.datetime, int] | None:
    """The stamp that stands there, and where it ends."""
    match = _YEARLESS.match(line, begin)
    if match is not None:
        year, name, *numbers, fraction = match.groups()
        month = _MONTHS.get(name)
        if month is None:
            return None
        day, hour, minute, second = map(int, numbers)
        if minute > 59 or second > 60:
            return None
        local = Local(int(year) if year else None, month, day, hour, minute, min(second, 59), _microseconds(fraction))
        return local, match.end()
    match = _ISO.match(line, begin)
    if match is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(f"{match[1]}{match[3] or ''}").replace(microsecond=_microseconds(match[2]))
        if moment.tzinfo is not None:
            return moment.astimezone(dt.UTC), match.end()
    except (ValueError, OverflowError):
        return None
    local = Local(*moment.timetuple()[:6], moment.microsecond)
    return local, match.end()


def _microseconds(fraction: str | None) -> int:
    return int(fraction[:6].ljust(6, "0")) if fraction else 0


def _pid(number: str) -> int:
    pid = int(number) if number.isascii() and number.isdigit() and len(number) < 11 else 0
    return pid if pid <= _LARGEST_PID else 0
