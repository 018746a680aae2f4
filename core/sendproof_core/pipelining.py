"""Which command each reply of an SMTP or LMTP dialogue answers. Pure; judges no reply.

Commands are pipelined (RFC 2920), so replies come in the order of the commands, each in one line or several.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sendproof_core.transcripts import DialogueLine

_RCPT = re.compile(r"RCPT TO:\s*<(?P<address>.*?)>(?:\s|$)", re.IGNORECASE)
_REPLY = re.compile(r"(?P<code>[2-5]\d\d)(?P<more>-?)")
# Replies that answer one command only: where they meet another, lines are missing.
_ANSWERS_ONLY = {"354": "DATA", "221": "QUIT"}
_ENDS = "421"  # the server closes the connection, whatever is open (RFC 5321 section 3.8)


@dataclass(frozen=True)
class Spoken:
    """What a line belongs to. ``recipient``: of the RCPT TO that it is or answers; None: of the whole message."""

    recipient: str | None = None


@dataclass(frozen=True)
class Pairing:
    """Of each line what it belongs to. ``is_certain``: every reply found its command, and none is missing."""

    spoken: tuple[Spoken, ...]
    is_certain: bool


def pair(lines: Sequence[DialogueLine]) -> Pairing:
    """Give each line of a dialogue to the command that it is or answers."""
    reader = _Reader()
    spoken = tuple(reader.server(line.text) if line.from_server else reader.client(line.text) for line in lines)
    return Pairing(spoken, reader.is_certain and not reader.is_short)


class _Reader:
    """Reads a dialogue line by line; ``_open``: the commands without a reply, oldest first."""

    def __init__(self) -> None:
        self.is_certain = True
        self._open: list[tuple[str, Spoken]] = []
        self._taken: list[Spoken] = []
        self._is_lmtp = False
        self._is_over = False
        self._greeted = False

    @property
    def is_short(self) -> bool:
        """Whether replies are missing at the end: nobody waits for the one to QUIT."""
        return not self._is_over and any(word != "QUIT" for word, _ in self._open)

    def client(self, text: str) -> Spoken:
        """A command, or what follows one (AUTH)."""
        self._greeted = True
        word = text.strip().split(" ", 1)[0].upper()
        spoken = Spoken()
        if word == "RCPT":
            found = _RCPT.match(text.strip())
            self.is_certain = self.is_certain and found is not None
            spoken = Spoken(found["address"] if found else "")
        elif word in ("MAIL", "RSET", "EHLO", "HELO", "LHLO"):
            self._taken = []
            self._is_lmtp = word == "LHLO" or (self._is_lmtp and word in ("MAIL", "RSET"))
        if word == "." and self._is_lmtp and self._taken:
            # RFC 2033 section 4.2: after the final dot, a reply for each recipient that was taken.
            self._open += [(word, taken) for taken in self._taken]
        else:
            self._open.append((word, spoken))
        return spoken

    def server(self, text: str) -> Spoken:
        """A line of a reply."""
        reply = _REPLY.match(text)
        if reply is None:
            self.is_certain = False
            return Spoken()
        if not self._open:
            return self._unasked(reply)
        word, spoken = self._open[0]
        if reply["code"] == _ENDS:
            self._is_over = True
        elif _ANSWERS_ONLY.get(reply["code"], word) != word or (word == "QUIT" and reply["code"] != "221"):
            self.is_certain = False
        if not reply["more"]:
            del self._open[0]
            if word == "RCPT" and reply["code"].startswith("2"):
                self._taken.append(spoken)
        return spoken

    def _unasked(self, reply: re.Match[str]) -> Spoken:
        """The greeting comes without a command, and so may the end."""
        if reply["code"] != _ENDS and self._greeted:
            self.is_certain = False
        if not reply["more"]:
            self._greeted = True
        return Spoken()
