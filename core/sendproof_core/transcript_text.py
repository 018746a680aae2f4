"""One recipient's story for a terminal: plain text, wrapped, without any escape sequence.

Adds no words of its own beyond headings: `transcript_story` has the sentences.
"""

import textwrap
from collections.abc import Iterator

from sendproof_core.hostile_text import visible
from sendproof_core.transcript_story import Conversation, Entry, Story

_NARROWEST = 60


def render(story: Story, *, width: int = 110) -> str:
    """The transcript as lines of at most ``width`` characters (60 at least), ending with a newline."""
    width = max(width, _NARROWEST)
    blocks = [_head(story, width), _answer(story, width)]
    blocks.append(_wrapped(f"{story.proof_title}: {story.proof}", width))
    if story.advice:
        blocks.append(_wrapped(f"What you can do: {story.advice}", width))
    blocks.append(_timeline(story.timeline, width))
    if story.conversations:
        blocks.append(_conversation(story.conversations[-1], width))
    blocks.append(_wrapped(f"Evidence: {story.evidence}", width))
    lines = "\n\n".join("\n".join(block) for block in blocks).split("\n")
    # A story is safe already; nothing gets past this line whatever may change there.
    return "".join(f" {visible(line)}\n" if line else "\n" for line in lines)


def _head(story: Story, width: int) -> list[str]:
    to = f"To {story.address}" + (f", which leads to {story.leads_to}" if story.leads_to else "")
    gap = width - 1 - len(to) - len(story.label.text)
    first = [f"{to}{' ' * gap}{story.label.text}"] if gap >= 2 else [*_wrapped(to, width), story.label.text]
    return [*first, *_wrapped(story.about, width)]


def _answer(story: Story, width: int) -> list[str]:
    lines = [line for sentence in story.answer for line in _wrapped(sentence, width)]
    for number, words in enumerate(story.receipt):
        lines += _wrapped(words if number else f"Their receipt: {words}", width, "  " if number else "")
    if story.reference:
        of = f", the server speaks like {story.receiver}" if story.receiver else ""
        lines += _wrapped(f"Their reference: {story.reference}   (search for it in their mail log{of})", width)
    for words in story.words:
        lines += _wrapped(words, width, "  ")
    return lines


def _timeline(entries: tuple[Entry, ...], width: int) -> list[str]:
    time_width = max(len(entry.time) for entry in entries)
    label_width = max(len(entry.label) for entry in entries)
    indent = " " * (time_width + 2 + label_width + 2)
    lines = []
    for entry in entries:
        start = f"{entry.time:<{time_width}}  {entry.label:<{label_width}}  "
        detail = [line for text in entry.detail for line in _wrapped(text, width - len(indent))]
        lines.append((start + (detail[0] if detail else "")).rstrip())
        lines += [indent + line for line in detail[1:]]
    return lines


def _conversation(conversation: Conversation, width: int) -> list[str]:
    return [f"The conversation ({conversation.title})", *_spoken(conversation, width)]


def _spoken(conversation: Conversation, width: int) -> Iterator[str]:
    for line in conversation.lines:
        text = f"{line.text}   [{line.note}]" if line.note else line.text
        for number, part in enumerate(_wrapped(text, width - 4) or [""]):
            yield f"  {line.speaker if number == 0 else ' '} {part}"


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        width - 1,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
        replace_whitespace=False,
        drop_whitespace=True,
    )
