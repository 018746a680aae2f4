"""One recipient's story for a terminal: plain text, wrapped, without any escape sequence.

Adds no words of its own beyond headings: `transcript_story` has the sentences.
"""

import datetime as dt
import textwrap
from collections.abc import Iterator

from sendproof_core.hostile_text import visible
from sendproof_core.transcript_story import Conversation, Entry, Story

_NARROWEST = 60


def render(story: Story, *, width: int = 110, whole: bool = False, to_outsider: bool = False) -> str:
    """The transcript as lines of at most ``width`` characters (60 at least), ending with a newline.

    ``whole``: every conversation instead of the last, and the lines of the mail log. ``to_outsider``: for the
    recipient's IT department: their own reference first, each time in UTC as well.
    """
    width = max(width, _NARROWEST)
    blocks = [_head(story, width)]
    if to_outsider and story.reference:
        blocks.append(_reference(story, width, to_outsider=True))
    blocks.append(_answer(story, width, to_outsider=to_outsider))
    blocks.append(_wrapped(f"{story.proof_title}: {story.proof}", width))
    if story.advice:
        blocks.append(_wrapped(f"What you can do: {story.advice}", width))
    blocks.append(_timeline(story.timeline, width, with_utc=to_outsider))
    conversations = story.conversations if whole else story.conversations[-1:]
    blocks += [_conversation(one, width) for one in conversations]
    if whole and story.log_lines:
        lines = [line for text in story.log_lines for line in _wrapped(text, width, "  ")]
        blocks.append(["What the mail log says of each attempt (times in UTC)", *lines])
    blocks.append(_wrapped(f"Evidence: {story.evidence}", width))
    lines = "\n\n".join("\n".join(block) for block in blocks).split("\n")
    # A story is safe already; nothing gets past this line whatever may change there.
    return "".join(f" {visible(line)}\n" if line else "\n" for line in lines)


def _head(story: Story, width: int) -> list[str]:
    to = f"To {story.address}" + (f", which leads to {story.leads_to}" if story.leads_to else "")
    gap = width - 1 - len(to) - len(story.label.text)
    first = [f"{to}{' ' * gap}{story.label.text}"] if gap >= 2 else [*_wrapped(to, width), story.label.text]
    return [*first, *_wrapped(story.about, width)]


def _answer(story: Story, width: int, *, to_outsider: bool) -> list[str]:
    lines = [line for sentence in story.answer for line in _wrapped(sentence, width)]
    for number, words in enumerate(story.receipt):
        whose = "Your server's receipt" if to_outsider else "Their receipt"
        lines += _wrapped(words if number else f"{whose}: {words}", width, "  " if number else "")
    if story.reference and not to_outsider:
        lines += _reference(story, width, to_outsider=False)
    for words in story.words:
        lines += _wrapped(words, width, "  ")
    return lines


def _reference(story: Story, width: int, *, to_outsider: bool) -> list[str]:
    of = f", the server speaks like {story.receiver}" if story.receiver else ""
    whose, where = ("Your", "your") if to_outsider else ("Their", "their")
    return _wrapped(f"{whose} reference: {story.reference}   (search for it in {where} mail log{of})", width)


def _timeline(entries: tuple[Entry, ...], width: int, *, with_utc: bool) -> list[str]:
    times = [_times(entry, with_utc=with_utc) for entry in entries]
    time_width = max(map(len, times))
    label_width = max(len(entry.label) for entry in entries)
    indent = " " * (time_width + 2 + label_width + 2)
    if len(indent) > width // 2:  # narrow: the words go below
        indent = " " * 4
    lines = []
    for entry, time in zip(entries, times, strict=True):
        start = f"{time:<{time_width}}  {entry.label:<{label_width}}  "
        detail = [line for text in entry.detail for line in _wrapped(text, width - len(indent))]
        if len(start) > len(indent):
            lines += [start.rstrip(), *(indent + line for line in detail)]
            continue
        lines.append((start + (detail[0] if detail else "")).rstrip())
        lines += [indent + line for line in detail[1:]]
    return lines


def _times(entry: Entry, *, with_utc: bool) -> str:
    if not with_utc or entry.at is None:
        return entry.time
    return f"{entry.time} = {entry.at.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC"


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
