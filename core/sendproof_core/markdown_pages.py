"""The provider's Markdown as HTML: CommonMark with tables, no HTML of its own, no pictures, links to web and mail only.

The highest headings, whatever their level, become the second level: the page's title is the first. Where a paragraph
is nothing but a name in double braces, such as ``{{plans}}``, the caller's piece of HTML is put in.
"""

from collections.abc import Callable, Iterator

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.token import Token

_HEADINGS = ("heading_open", "heading_close")
_LAST_HEADING = 6
_SCHEMES = ("http://", "https://", "mailto:")
_ELSEWHERE = ("http://", "https://")


Piece = Callable[[str], str | None]


def render(markdown: str, piece: Piece = lambda _name: None, *, table_word: str = "Table") -> str:
    """HTML. ``piece``: HTML for a name, made by the caller; None where nothing has that name.

    ``table_word``: what a screen reader calls a table, with its number.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.validateLink = _is_good_link  # type: ignore[method-assign] # markdown-it-py's own way to set it
    tokens = _with_pieces(parser.parse(markdown), piece)
    return str(parser.renderer.render(list(_adapted(list(tokens), table_word)), parser.options, {}))


def _is_good_link(url: str) -> bool:
    """Of a normalised address: one with a scheme of ours, or a place on this site."""
    start = url.strip().lower()
    # "//x" is another site's, and browsers take "/\x" for the same.
    return start.startswith(_SCHEMES) or (start.startswith(("/", "#")) and not start.startswith(("//", "/\\", "/%5c")))


def _name(line: str) -> str | None:
    """What stands in double braces, if nothing else is on the line."""
    line = line.strip()
    return line[2:-2].strip() if line.startswith("{{") and line.endswith("}}") else None


def _with_pieces(tokens: list[Token], piece: Piece) -> Iterator[Token]:
    index = 0
    while index < len(tokens):
        token = tokens[index]
        name = _name(tokens[index + 1].content) if token.type == "paragraph_open" else None
        content = None if name is None else piece(name)
        if content is not None:
            yield _html(content)
            index += 3  # the paragraph's begin, its text, its end
        else:
            yield token
            index += 1


def _adapted(tokens: list[Token], table_word: str) -> Iterator[Token]:
    """Headings that begin at the second level; tables that scroll by themselves; pictures as their words."""
    tables = 0
    first = min((_level(token) for token in tokens if token.type in _HEADINGS), default=1)
    for token in tokens:
        if token.type in _HEADINGS:
            token.tag = f"h{min(_level(token) - first + 2, _LAST_HEADING)}"
        elif token.type in ("th_open", "td_open"):
            # An inline style, which the site's policy does not allow.
            if "right" in str(token.attrs.pop("style", "")):
                token.attrSet("class", "number")
        elif token.type == "table_open":
            tables += 1
            label = escapeHtml(f"{table_word} {tables}")
            yield _html(f'<div class="table-scroll" tabindex="0" role="region" aria-label="{label}">')
        elif token.children:
            token.children = [_adapted_inline(child) for child in token.children]
        yield token
        if token.type == "table_close":
            yield _html("</div>\n")


def _adapted_inline(token: Token) -> Token:
    if token.type == "image":
        return Token("text", "", 0, content=token.content)
    if token.type == "link_open" and str(token.attrGet("href")).startswith(_ELSEWHERE):
        token.attrSet("rel", "noopener nofollow")
    return token


def _level(heading: Token) -> int:
    return int(heading.tag[1:])


def _html(content: str) -> Token:
    return Token("html_block", "", 0, content=content)
