"""Every kind of block is rendered, as text and as HTML."""

import typing

import pytest

from sendproof_notices import mail
from sendproof_notices.letter import Block, Entry, Facts, Heading, Letter, Link, Paragraph, Quote

BLOCKS = (
    Paragraph("a paragraph"),
    Paragraph("a strong one", strong=True),
    Heading("a heading"),
    Quote("whose words", ("first line", "second line")),
    Facts((("a name", "a value"),)),
    Entry("an entry", "its text", "https://mail.relay.example/entry"),
    Entry("an entry without a page", "its text", None),
    Link("a label", "https://mail.relay.example/link"),
)


def texts(block: Block) -> list[str]:
    match block:
        case Paragraph(text=text) | Heading(text=text):
            return [text]
        case Quote(title=title, lines=lines):
            return [title, *lines]
        case Facts(rows=rows):
            return [text for row in rows for text in row]
        case Entry(title=title, text=text, url=url):
            return [title, text, *([url] if url else [])]
        case Link(label=label, url=url):
            return [label, url]


def test_the_list_above_has_every_kind() -> None:
    assert {type(block) for block in BLOCKS} == set(typing.get_args(Block))


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("is_foot", [False, True])
def test_a_block_says_all_it_holds_in_both_forms(block: Block, is_foot: bool) -> None:
    letter = Letter("subject", (), (block,)) if is_foot else Letter("subject", (block,))
    for form in (mail.as_text(letter), mail.as_html(letter, "en")):
        assert [text for text in texts(block) if text not in form] == []
