"""Read what stands in the parentheses of a delivery status line: who said what, at which stage, and what it means.

The wording is that of Postfix 3.7 (smtp_proto.c, smtp_trouble.c, smtp_connect.c, smtp_addr.c). The words in it are
the other server's own: hostile text, classified by what servers commonly write. Decides nothing about a state.
"""

import enum
import re
from dataclasses import dataclass


class Cause(enum.StrEnum):
    """Why a recipient was put off or refused, as far as the words tell."""

    ACCEPTED = "accepted"
    GREYLISTED = "greylisted"
    PERHAPS_GREYLISTED = "perhaps greylisted"
    UNKNOWN_USER = "unknown user"
    MAILBOX_FULL = "mailbox full"
    TOO_LARGE = "too large"
    BLOCKED = "blocked"
    NO_SUCH_DOMAIN = "no such domain"
    UNREACHABLE = "unreachable"
    INTERRUPTED = "interrupted"
    OTHER = "other"


@dataclass(frozen=True)
class RemoteReply:
    """A status line's reason.

    ``server``: the host that Postfix talked to, None where there was none. ``code``: the SMTP code, None where nobody
    spoke. ``lines``: the server's words, or Postfix's own where no server spoke. ``stage``: what was answered, such
    as "RCPT TO command". ``suspended``: nothing was tried; Postfix repeats an earlier reason.
    """

    server: str | None
    code: int | None
    lines: tuple[str, ...]
    stage: str | None
    cause: Cause
    suspended: bool


_SUSPENDED = "delivery temporarily suspended: "  # qmgr_deliver.c
_HOST = r"(?P<server>[^\s\[\]]+)\[[^\s\]]*\]"
_SAID = re.compile(rf"host {_HOST} (?:said|refused to talk to me): (?P<words>.*)", re.DOTALL)
_STAGE = re.compile(r"(?P<words>.*) \(in reply to (?P<stage>[^()]+)\)", re.DOTALL)
_UNREACHABLE = re.compile(rf"connect to {_HOST}(?::\d+)?: .*", re.DOTALL)
_INTERRUPTED = re.compile(
    rf"(?:lost connection|conversation) with {_HOST} (?:timed out )?while (?P<stage>.*)", re.DOTALL
)
_NO_SUCH_DOMAIN = re.compile(r"Host or domain name not found|Name service error|unable to look up host|\(nullMX\)")
_CODE = re.compile(r"([2-5]\d\d)(?=[- ]|$)")
_MULTILINE = re.compile(r"(?P<code>[2-5]\d\d)-(?P<enhanced>\d\.\d{1,3}\.\d{1,3})?")

# The first that fits.
_CAUSES = tuple(
    (cause, re.compile(pattern, re.IGNORECASE))
    for cause, pattern in (
        (Cause.GREYLISTED, r"gr[ae]y-?\s?list|postgrey"),
        (Cause.MAILBOX_FULL, r"\b[45]\.2\.2\b|mailbox (?:is )?full|over (?:its )?quota|quota (?:is )?exceeded"),
        (Cause.TOO_LARGE, r"\b[45]\.3\.4\b|message size .{0,40}exceeds|message (?:is )?too (?:large|big)"),
        (
            Cause.UNKNOWN_USER,
            r"\b5\.1\.1\b|user unknown|unknown (?:user|recipient)|no such (?:user|mailbox|recipient|address|person)"
            r"|(?:user|account|mailbox|recipient|address) (?:not found|does not exist|doesn't exist)",
        ),
        (
            Cause.BLOCKED,
            r"black-?\s?list|block-?\s?list|deny-?\s?list|dnsbl|\brbl\b|spamhaus|spamcop|\bspam\b|\bblocked\b|reputation"
            r"|\bbanned\b|\bdmarc\b|\bspf\b",
        ),
    )
)
# Servers use these codes for much else, too: 450 4.7.1 also says "cannot find your hostname".
_PUTS_OFF = re.compile(r"45[01][- ].*(?:\b4\.2\.0\b|\b4\.7\.1\b|try again)", re.IGNORECASE | re.DOTALL)
_ANOTHER_REASON = re.compile(r"host ?name|resolv|lookup|dns|rate|limit|too many|unverified|busy|load", re.IGNORECASE)


def read(text: str) -> RemoteReply:
    """What a status line's reason says; never fails."""
    suspended = text.startswith(_SUSPENDED)
    text = text.removeprefix(_SUSPENDED)
    if said := _SAID.fullmatch(text):
        words, stage = said["words"], None
        if answered := _STAGE.fullmatch(words):
            words, stage = answered["words"], answered["stage"]
        return _spoken(words, said["server"], stage, suspended=suspended)
    if refused := _UNREACHABLE.fullmatch(text):
        return RemoteReply(refused["server"], None, (text,), None, Cause.UNREACHABLE, suspended)
    if broken := _INTERRUPTED.fullmatch(text):
        return RemoteReply(broken["server"], None, (text,), broken["stage"], Cause.INTERRUPTED, suspended)
    if _CODE.match(text):
        return _spoken(text, None, None, suspended=suspended)
    cause = Cause.NO_SUCH_DOMAIN if _NO_SUCH_DOMAIN.search(text) else _cause(text)
    return RemoteReply(None, None, (text,), None, cause, suspended)


def split_lines(words: str) -> tuple[str, ...]:
    """A reply's lines again: Postfix joins them with single blanks, and each begins with the code of the first."""
    first = _MULTILINE.match(words)
    if first is None:
        return (words,)
    lines = re.split(rf" (?={first['code']}[- ]{re.escape(first['enhanced'] or '')})", words)
    if len(lines) == 1:  # the enhanced code stands on the first line only
        lines = re.split(rf" (?={first['code']}[- ])", words)
    for number, line in enumerate(lines):
        if line.startswith(f"{first['code']} "):  # the last line of a reply (RFC 5321 section 4.2.1)
            return (*lines[:number], " ".join(lines[number:]))
    return tuple(lines)


def _spoken(words: str, server: str | None, stage: str | None, *, suspended: bool) -> RemoteReply:
    found = _CODE.match(words)
    code = int(found[1]) if found else None
    cause = Cause.ACCEPTED if code is not None and code < 300 else _cause(words)
    return RemoteReply(server, code, split_lines(words), stage, cause, suspended)


def _cause(words: str) -> Cause:
    for cause, pattern in _CAUSES:
        if pattern.search(words):
            return cause
    if _PUTS_OFF.match(words) and not _ANOTHER_REASON.search(words):
        return Cause.PERHAPS_GREYLISTED
    return Cause.OTHER
