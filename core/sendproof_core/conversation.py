"""The SMTP dialogue of one delivery as lines to read: cut replies completed, long lists folded. Pure."""

import re
from dataclasses import dataclass

from sendproof_core import remote_reply, wording
from sendproof_core.hostile_text import visible
from sendproof_core.transcripts import AttemptView, DialogueLine

# smtp_chat.c logs a reply with "%.100s". A little less here: blanks at the cut are gone.
_CUT_AT = 95
_GREETING = re.compile(r"220[- ](?=\S*[A-Za-z])(?P<name>[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)(?:\s|$)")
_SIZE = re.compile(r"\bSIZE=(\d{1,15})\b")
_RELAY = re.compile(r"(?P<host>[^\[\]]+)(?P<where>\[[^\[\]]+\](?::\d+)?)")


@dataclass(frozen=True)
class ConversationLine:
    """One line as spoken. ``note``: what we know beside it, such as the TLS session after STARTTLS."""

    from_server: bool
    text: str
    note: str | None = None

    @property
    def speaker(self) -> str:
        """S for the server, C for the client: us."""
        return "S" if self.from_server else "C"


def server_name(attempt: AttemptView) -> str | None:
    """How the server calls itself in its greeting, else the MX's name in DNS; None where no server was reached."""
    for line in attempt.dialogue:
        if line.from_server and (greeting := _GREETING.match(line.text)):
            return greeting["name"]
    relay = _RELAY.fullmatch(attempt.relay)
    return visible(relay["host"]) if relay else None


def relay_words(attempt: AttemptView) -> str | None:
    """``mx1.example.net [192.0.2.25]:25``: the server's name, its address and port; None where none was reached."""
    relay = _RELAY.fullmatch(attempt.relay)
    return f"{server_name(attempt)} {visible(relay['where'])}" if relay else None


def as_spoken(attempt: AttemptView, size_bytes: int | None) -> tuple[ConversationLine, ...]:
    """The whole conversation. ``size_bytes``: the message's, where the dialogue names none; None: not known."""
    known = remote_reply.read(attempt.reply).lines
    lines: list[ConversationLine] = []
    asked = ""
    for spoken in attempt.dialogue:
        text = _completed(spoken, known)
        if not spoken.from_server:
            asked = text.split(" ", 1)[0].upper()
            if named := _SIZE.search(text):
                size_bytes = int(named[1])
            if text == ".":
                text = f"({_octets(size_bytes)}, then the final dot)"
            lines.append(ConversationLine(from_server=False, text=visible(text)))
            continue
        note = None
        if asked == "STARTTLS" and text.startswith("220") and attempt.tls:
            note = visible(wording.tls_in_full(attempt.tls))
        if asked == "EHLO" and lines and lines[-1].from_server and lines[-1].text.startswith("250-"):
            lines[-1] = ConversationLine(from_server=True, text=f"{lines[-1].text}  {visible(text)}")
        else:
            lines.append(ConversationLine(from_server=True, text=visible(text), note=note))
    return tuple(lines)


def _octets(size_bytes: int | None) -> str:
    return "the message" if size_bytes is None else f"{size_bytes:,} octets"


def _completed(spoken: DialogueLine, known: tuple[str, ...]) -> str:
    """The status line holds up to 2,000 characters of what the dialogue cuts at 100."""
    if spoken.from_server and len(spoken.text) >= _CUT_AT:
        for line in known:
            if line.startswith(spoken.text):
                return line
    return spoken.text
