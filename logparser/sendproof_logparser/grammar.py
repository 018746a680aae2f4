"""What the mail system's programs write to the log, as values: one text in, one event out. Pure.

Every rule names the Postfix 3.7 source file that writes the text. Patterns are anchored and linear: no text makes them
slow, and text that looks like a record inside an address or a reply is not taken for one. Nothing is correlated here
(`transcript` does), and the logger's prefix is not read here (`syslog_line` does). The rules themselves are in the
modules grammar_*, by what the programs do; here stands which program is read by which.
"""

import re
from functools import lru_cache, partial

from sendproof_logparser.events import Event, Irrelevant
from sendproof_logparser.grammar_delivery import read_agent, read_smtp
from sendproof_logparser.grammar_others import RULES_OF_PROGRAMS, read_other_program
from sendproof_logparser.grammar_queue import read_bounce, read_postsuper, read_qmgr
from sendproof_logparser.grammar_submission import (
    read_cleanup,
    read_pickup,
    read_postscreen,
    read_quiet,
    read_smtpd,
)
from sendproof_logparser.grammar_words import Reader, is_verbose

_SPEAKS_SMTP = ("smtp", "lmtp")
# Programs of which only warnings and worse matter
_QUIET = (
    "anvil", "dnsblog", "flush", "master", "postalias", "postcat", "postdrop", "postfix", "postfix-script",
    "postfix-tlsproxy", "postkick", "postlog", "postlogd", "postmap", "postmulti", "postqueue", "proxymap",
    "proxywrite", "scache", "sendmail", "showq", "spawn", "tlsmgr", "tlsproxy", "trivial-rewrite", "verify",
)  # fmt: skip
_READERS: dict[str, Reader] = {
    "bounce": read_bounce,
    "cleanup": read_cleanup,
    "defer": read_bounce,
    "discard": read_agent,
    "error": read_agent,
    "lmtp": read_smtp,
    "local": read_agent,
    "nqmgr": read_qmgr,
    "oqmgr": read_qmgr,
    "pickup": read_pickup,
    "pipe": read_agent,
    "postscreen": read_postscreen,
    "postsuper": read_postsuper,
    "qmgr": read_qmgr,
    "qmqpd": read_smtpd,
    "retry": read_agent,
    "smtp": read_smtp,
    "smtpd": read_smtpd,
    "trace": read_bounce,
    "virtual": read_agent,
    **dict.fromkeys(_QUIET, read_quiet),
}
_POSTFIX_PROGRAMS = frozenset(_READERS)
_READERS |= {program: partial(read_other_program, program) for program in RULES_OF_PROGRAMS}
# rsyslog 5 and 6 call themselves rsyslogd-2177 and the like, amavisd-new has several names, and where only the kernel's
# name of the process is known, journald's lacks its end.
_OTHER_PROGRAMS = {
    "rsyslogd": re.compile(r"rsyslogd(?>(?:-\d++)?)"),
    "systemd-journald": re.compile(r"systemd-journald?+"),
    "dovecot": re.compile(r"dovecot"),
    "amavis": re.compile(r"(?>(?:/usr/sbin/)?)amavis(?>(?:d(?>(?:-new)?))?)"),
}


# rsyslog, of lines that follow each other; the bracket at the end may be cut off
_REPEATED = re.compile(r"\A(?:message repeated \d{1,9} times: \[ ?)+")


@lru_cache(maxsize=1024)
def instance_and_daemon(program: str) -> tuple[str, str] | None:
    """The Postfix instance and daemon of a tag: ``postfix/submission/smtpd`` is ("postfix", "smtpd").

    `syslog_name` may be anything, so the daemon's name decides. A program beside Postfix that `parse` reads has the
    instance "". None for every other one.
    """
    parts = program.strip("/").split("/")
    instance, daemon = parts[0], parts[-1]
    if daemon in _POSTFIX_PROGRAMS and len(parts) > 1:
        return instance[:100], daemon
    if instance.startswith("postfix"):
        return instance[:100], daemon if len(parts) > 1 else "postfix-script"
    for name, pattern in _OTHER_PROGRAMS.items():
        if pattern.fullmatch(program):
            return "", name
    return None


def speaks_smtp(daemon: str) -> bool:
    """Whether the daemon has SMTP conversations with receiving servers."""
    return daemon in _SPEAKS_SMTP


def reader(daemon: str) -> Reader:
    """What `parse` does with the texts of one daemon, for a caller that has many of them."""
    return _READERS.get(daemon, read_agent)


def parse(daemon: str, text: str) -> Event | Irrelevant | None:
    """Read the text of a line; None if no rule knows it.

    Args:
        daemon: what `instance_and_daemon` called it.
        text: without the logger's prefix.
    """
    return _READERS.get(daemon, read_agent)(text)


def may_be_kept(text: str) -> bool:
    """Whether a text that no rule knows may be stored: verbose lines of Postfix can hold passwords and TLS seeds.

    What is said in normal operation begins with a severity, a queue id or plain words; verbose lines begin with a
    function's name (``const char *myname``), an attribute, or are dialogue.
    """
    return not is_verbose(_REPEATED.sub("", text))
