"""A letter as a value: a subject and blocks, each of which knows how it looks as text and as HTML by its kind.

Says nothing itself; `mail` renders it. No text in it holds markup or line ends of its own.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Paragraph:
    """One or more sentences. ``strong``: what the letter is about, in one."""

    text: str
    strong: bool = False
    kind: str = "paragraph"


@dataclass(frozen=True)
class Heading:
    """What the blocks below are about."""

    text: str
    kind: str = "heading"


@dataclass(frozen=True)
class Quote:
    """Somebody else's words, line by line; ``title`` says whose."""

    title: str
    lines: tuple[str, ...]
    kind: str = "quote"


@dataclass(frozen=True)
class Facts:
    """Names and values."""

    rows: tuple[tuple[str, str], ...]
    kind: str = "facts"


@dataclass(frozen=True)
class Entry:
    """One of several news. ``url``: where all about it stands; None: nowhere."""

    title: str
    text: str
    url: str | None
    kind: str = "entry"


@dataclass(frozen=True)
class Link:
    """Something to follow: in HTML the label, in text the label and the address."""

    label: str
    url: str
    kind: str = "link"


Block = Paragraph | Heading | Quote | Facts | Entry | Link


@dataclass(frozen=True)
class Letter:
    """``foot``: why it came, and how to change that."""

    subject: str
    blocks: tuple[Block, ...]
    foot: tuple[Block, ...] = ()
