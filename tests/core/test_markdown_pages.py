import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_core import markdown_pages


def test_html_is_shown_as_text() -> None:
    page = markdown_pages.render("<script>alert(1)</script>\n\n<b onclick=x>y</b>")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<b" not in page


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "vbscript:x",
        "data:text/html,x",
        "//evil.example",
        "/\\evil.example",
        "file:///etc/passwd",
    ],
)
def test_what_leads_to_no_page_is_no_link(address: str) -> None:
    assert "<a" not in markdown_pages.render(f"[here]({address})")


@pytest.mark.parametrize("address", ["https://mail.example/?a=1", "http://mail.example", "mailto:a@mail.example", "/x"])
def test_pages_and_mail_addresses_are_links(address: str) -> None:
    assert f'<a href="{address}"' in markdown_pages.render(f"[here]({address})")


def test_headings_begin_below_the_title_whatever_level_was_written() -> None:
    assert re.findall(r"<h\d>", markdown_pages.render("# a\n\n## b\n\n###### c")) == ["<h2>", "<h3>", "<h6>"]
    assert re.findall(r"<h\d>", markdown_pages.render("## a\n\n### b")) == ["<h2>", "<h3>"]


def test_pictures_are_their_words() -> None:
    assert markdown_pages.render("![our <logo>](https://mail.example/x.png)") == "<p>our &lt;logo&gt;</p>\n"


def test_tables_scroll_and_have_no_inline_style() -> None:
    page = markdown_pages.render("|a|b|\n|:-:|--:|\n|1|2|\n\ntext\n\n|c|\n|-|\n|3|", table_word="Tabelle")
    assert "style" not in page
    assert 'aria-label="Tabelle 1"' in page
    assert 'aria-label="Tabelle 2"' in page
    assert '<td class="number">2</td>' in page
    assert page.count('<div class="table-scroll"') == page.count("</div>") == 2


def test_a_piece_stands_where_its_name_is_a_paragraph_of_its_own() -> None:
    pieces = {"plans": "<table>ours</table>"}.get
    assert markdown_pages.render("before\n\n{{ plans }}\n\nafter", pieces) == (
        "<p>before</p>\n<table>ours</table><p>after</p>\n"
    )
    assert "ours" not in markdown_pages.render("see {{plans}} here", pieces)
    assert "{{others}}" in markdown_pages.render("{{others}}", pieces)


@given(st.text())
def test_any_text_gives_a_page_without_html_of_its_own(text: str) -> None:
    page = markdown_pages.render(text)
    known = r"</?(p|em|strong|h[2-6]|ul|ol|li|a|code|pre|blockquote|hr|br|table|thead|tbody|tr|th|td|div)\b"
    assert [tag for tag in re.findall(r"<[^>]*>?", page) if not re.match(known, tag)] == []
    assert "style=" not in re.sub(r">[^<]*<", "><", page)
