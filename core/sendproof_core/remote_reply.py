"""Read what stands in the parentheses of a delivery status line: who said what, at which stage, and what it means.

The wording is that of Postfix 3.7 (smtp_proto.c, smtp_trouble.c, smtp_connect.c, smtp_addr.c). The words in it are
the other server's own: hostile text, classified by `reply_rules`. Decides nothing about a state.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from sendproof_core import reply_rules
from sendproof_core.reply_lines import REPLY_CODE, split_lines
from sendproof_core.reply_rules import Cause, Fault, Speaker

__all__ = ["Cause", "Fault", "RemoteReply", "read"]


@dataclass(frozen=True)
class RemoteReply:
    """A status line's reason.

    ``server``: the host that Postfix talked to, None where there was none. ``code``: the SMTP code, None where nobody
    spoke. ``lines``: the server's words, or Postfix's own where no server spoke. ``stage``: what was answered, such
    as "RCPT TO command". ``suspended``: nothing was tried; Postfix repeats an earlier reason. ``fault``: who can do
    something about it, None where the words do not tell.
    """

    server: str | None
    code: int | None
    lines: tuple[str, ...]
    stage: str | None
    cause: Cause
    suspended: bool
    enhanced_code: str | None = None
    fault: Fault | None = None


_SUSPENDED = "delivery temporarily suspended: "  # qmgr_deliver.c
_HOST = r"(?P<server>[^\s\[\]]+)\[[^\s\]]*\]"
_SAID = re.compile(rf"host {_HOST} (?:said|refused to talk to me): (?P<words>.*)", re.DOTALL)
_STAGE = re.compile(r"(?P<words>.*) \(in reply to (?P<stage>[^()]+)\)", re.DOTALL)
_UNREACHABLE = re.compile(rf"connect to {_HOST}(?::\d+)?: .*", re.DOTALL)
_INTERRUPTED = re.compile(
    rf"(?:lost connection|conversation) with {_HOST} (?:timed out )?while (?P<stage>.*)", re.DOTALL
)


# Most attempts repeat what earlier ones said, and each is read several times for one page.
@lru_cache(maxsize=4096)
def read(text: str) -> RemoteReply:
    """What a status line's reason says; never fails."""
    suspended = text.startswith(_SUSPENDED)
    text = text.removeprefix(_SUSPENDED)
    if said := _SAID.fullmatch(text):
        words, stage = said["words"], None
        if answered := _STAGE.fullmatch(words):
            words, stage = answered["words"], answered["stage"]
        return _spoken(words, said["server"], stage, suspended=suspended)
    if REPLY_CODE.match(text):
        return _spoken(text, None, None, suspended=suspended)
    about = _UNREACHABLE.fullmatch(text) or _INTERRUPTED.fullmatch(text)
    named = about.groupdict() if about else {}
    rule = reply_rules.find(reply_rules.shipped(), Speaker.POSTFIX, text)
    return RemoteReply(
        named.get("server"),
        None,
        (text,),
        named.get("stage"),
        rule.cause if rule else Cause.OTHER,
        suspended,
        None,
        rule.fault if rule else None,
    )


def _spoken(words: str, server: str | None, stage: str | None, *, suspended: bool) -> RemoteReply:
    found = REPLY_CODE.match(words)
    code = int(found["code"]) if found else None
    enhanced_code = found["enhanced"] if found else None
    cause, fault = Cause.OTHER, None
    if code is not None and code < 300:
        cause = Cause.ACCEPTED
    elif rule := reply_rules.find(reply_rules.shipped(), Speaker.SERVER, words):
        cause, fault = rule.cause, rule.fault
    return RemoteReply(server, code, split_lines(words), stage, cause, suspended, enhanced_code, fault)
