"""What programs beside Postfix say that matters here: rsyslogd, systemd-journald, Dovecot, amavis. Pure.

Most of what they say does not; what no rule knows of theirs is irrelevant, never unknown.
"""

import re

from sendproof_logparser.events import IRRELEVANT, Event, Filtered, Irrelevant, LinesLost, SignInFailed
from sendproof_logparser.grammar_words import ADDRESS, LARGEST_INTEGER, QUEUE_ID, Rule, first_match

_COUNT = r"(\d{1,18}+)"


def _lines_lost(match: re.Match[str]) -> LinesLost:
    return LinesLost(min(int(match[1]), LARGEST_INTEGER), match[0])


def _one_line_lost(match: re.Match[str]) -> LinesLost:
    return LinesLost(1, match[0])


def _some_lines_lost(match: re.Match[str]) -> LinesLost:
    return LinesLost(None, match[0])


def _sign_in_failed(match: re.Match[str]) -> SignInFailed:
    return SignInFailed(match["address"], match["login"] or None, match["reason"])


def _filtered(match: re.Match[str]) -> Filtered:
    return Filtered(match["queue_id"], tuple(match["children"].split("/")))


RSYSLOG_RULES = (
    # rsyslog runtime/ratelimit.c: "%s: %u messages lost due to rate-limiting[ (%u allowed within %u seconds)]"
    Rule("lost", re.compile(rf".*?: {_COUNT} messages lost due to rate-limiting.*+", re.DOTALL), _lines_lost),
    # the same: "%s from <%s>: begin to drop messages due to rate-limiting"
    Rule("begin", re.compile(r".*?: begin to drop messages due to rate-limiting.*+", re.DOTALL), _some_lines_lost),
    # rsyslog 5 and 6, plugins/imuxsock/imuxsock.c
    Rule("socket lost", re.compile(rf"imuxsock lost {_COUNT} messages from pid .*+", re.DOTALL), _lines_lost),
    Rule(
        "socket begins",
        re.compile(r"imuxsock begins to drop messages from pid .*+", re.DOTALL),
        _some_lines_lost,
    ),
    # rsyslog action.c: "action '%s' (module '%s') message lost, could not be processed"
    Rule("action", re.compile(r"(?>(?:rsyslogd: )?)action '.*?\) message lost, .*+", re.DOTALL), _one_line_lost),
)

JOURNALD_RULES = (
    # systemd src/journal/journald-server.c: "Suppressed %i messages from %s"
    Rule("suppressed", re.compile(rf"Suppressed {_COUNT} messages? from .*+", re.DOTALL), _lines_lost),
    # systemd src/journal/journald-syslog.c: "Forwarding to syslog missed %u messages."
    Rule("forwarding", re.compile(rf"Forwarding to syslog missed {_COUNT} messages?\.?", re.DOTALL), _lines_lost),
    # systemd src/journal/journald-server.c: "Failed to write entry (%zu items, ...), ignoring: %m"
    Rule("not written", re.compile(r"Failed to write entry \(.*+", re.DOTALL), _one_line_lost),
    # systemd src/journal/managed-journal-file.c: what was written last may be gone
    Rule("unclean", re.compile(r"File \S++ corrupted or uncleanly shut down, .*+", re.DOTALL), _some_lines_lost),
)

# A login with a comma or a parenthesis could pass for an address: it is not taken apart at all.
_LOGIN = r"(?P<login>[^,()]*+)"
_ADDRESS_OF_CLIENT = r"(?P<address>[0-9A-Fa-f.:]++)"
# Behind it a password may stand (auth_verbose_passwords), which is read by nobody.
_REASON = (
    r"(?P<reason>[Pp]assword mismatch|[Uu]nknown user|[Ii]nvalid credentials|user is disabled|"
    r"pam_authenticate\(\) failed: [A-Za-z]++(?>(?: [A-Za-z]++)*))(?>(?: \(.*+)?)"
)
DOVECOT_RULES = (
    # dovecot 2.3 src/auth/auth-request.c get_log_prefix(): "%s(%s,%s[,master][,<%s>]): ", by auth or by an auth-worker
    # that names its connection first
    Rule(
        "auth",
        re.compile(
            r"(?>(?:dovecot: )?)auth(?>(?:-worker)?)(?>(?:\([0-9a-z]++\))?): (?>(?:Info: )?)"
            r"(?>(?:conn unix:[^(),]*+\([^()]*+\): auth-worker<\d++>: )?)"
            rf"[a-z][a-z-]*+\({_LOGIN},{_ADDRESS_OF_CLIENT}(?>(?:,master)?)(?>(?:,<[^<>()]*+>)?)\): {_REASON}",
            re.ASCII | re.DOTALL,
        ),
        _sign_in_failed,
    ),
    # dovecot 2.4: "auth(%s,%s,sasl:%s)<%s>: Info: passwd-file: Password mismatch"
    Rule(
        "auth of 2.4",
        re.compile(
            rf"(?>(?:dovecot: )?)auth(?>(?:-worker)?)\({_LOGIN},{_ADDRESS_OF_CLIENT}"
            r"(?>(?:,[a-z]++:[^,()]*+)?)\)(?>(?:<[^<>]*+>)?)"
            rf": (?>(?:Info: )?)(?>(?:[a-z][a-z-]*+: )?){_REASON}",
            re.ASCII | re.DOTALL,
        ),
        _sign_in_failed,
    ),
)

AMAVIS_RULES = (
    # amavisd-new, $log_templ: "(%n) Passed %s ... <%s> -> <%D>,<%D>, Queue-ID: %Q, Message-ID: %m, ..., queued_as: %x".
    # A message may come back as several. The Message-ID is the sender's, so it is skipped as one piece.
    Rule(
        "passed",
        re.compile(
            rf"\([^()\s]++\) Passed [^<]*+{ADDRESS} -> {ADDRESS}(?>(?:,{ADDRESS})*)(?>(?:, (?!Queue-ID: )[^<,]*+)*)"
            rf", Queue-ID: (?P<queue_id>{QUEUE_ID})(?>(?:, (?>(?:Resent-)?)Message-ID: <[^<>]*+>)*)"
            r"(?>(?:, (?!queued_as: |(?>(?:Resent-)?)Message-ID: )[A-Za-z_ -]++:[^,<]*+)*)"
            rf", queued_as: (?P<children>{QUEUE_ID}(?>(?:/{QUEUE_ID})*))"
            r"(?>(?:,.*+)?)",
            re.ASCII | re.DOTALL,
        ),
        _filtered,
    ),
)

RULES_OF_PROGRAMS = {
    "rsyslogd": RSYSLOG_RULES,
    "systemd-journald": JOURNALD_RULES,
    "dovecot": DOVECOT_RULES,
    "amavis": AMAVIS_RULES,
}


def read_other_program(program: str, text: str) -> Event | Irrelevant:
    """Read a text of one of the programs of `RULES_OF_PROGRAMS`."""
    return first_match(RULES_OF_PROGRAMS[program], text) or IRRELEVANT
