"""`sendproof page`: the provider's own pages. Their text comes from a file or standard input, in Markdown."""

from typing import IO

import click

from sendproof_core import audit, clock, provider_pages
from sendproof_core.commands_context import Context, show_table
from sendproof_core.errors import UserError
from sendproof_core.hostile_text import visible
from sendproof_core.schema import Page

_NONE = "none"
# In octets, of which a character has four at the most.
_LONGEST = 4 * provider_pages.MARKDOWN_CHARACTERS + 1


@click.group()
def page() -> None:
    """Pages of the site that the provider writes: plans, help, contact."""


@page.command("list")
@click.pass_obj
def page_list(context: Context) -> None:
    """Show every page and its place in the footer."""
    with context.database().reading() as session:
        rows = [
            (one.slug, _position(one), f"{one.changed_at:%Y-%m-%d %H:%M}", visible(one.title))
            for one in provider_pages.listed(session)
        ]
    if not rows:
        click.echo("there is no page yet; `sendproof page set` makes one, `sendproof page defaults` some to begin with")
        return
    show_table(("PAGE", "FOOTER", "CHANGED (UTC)", "TITLE"), rows)


@page.command("show")
@click.argument("slug")
@click.pass_obj
def page_show(context: Context, slug: str) -> None:
    """Print a page's Markdown."""
    with context.database().reading() as session:
        found = provider_pages.find(session, slug)
        if found is None:
            raise _no_such_page(slug)
        lines = found.markdown.splitlines()
    for line in lines:
        click.echo(visible(line))


@page.command("set")
@click.argument("slug")
@click.option("--title", help="Needed for a new page.")
@click.option("--position", metavar="N|none", help='Place in the footer, or "none": only by its address.')
@click.option("--file", type=click.File("rb"), help="Its Markdown; - is standard input.")
@click.pass_obj
def page_set(context: Context, slug: str, title: str | None, position: str | None, file: IO[bytes] | None) -> None:
    """Make a page, or change what is given of it."""
    markdown = None if file is None else _text(file.read(_LONGEST))
    with context.database().writing() as session:
        found = provider_pages.find(session, slug)
        if found is None and title is None:
            raise UserError(f"there is no page {slug!r}; a new one needs a --title.")
        provider_pages.save(
            session,
            found,
            slug=slug,
            title=title if title is not None else found.title if found else "",
            markdown=markdown if markdown is not None else found.markdown if found else "",
            position=_number(position) if position is not None else found.position if found else None,
            actor=audit.COMMAND,
            now=clock.now(),
        )
    click.echo(f"the page is at /pages/{slug}")


@page.command("delete")
@click.argument("slug")
@click.pass_obj
def page_delete(context: Context, slug: str) -> None:
    """Forget a page."""
    with context.database().writing() as session:
        found = provider_pages.find(session, slug)
        if found is None:
            raise _no_such_page(slug)
        provider_pages.remove(session, found, audit.COMMAND, clock.now())
    click.echo(f"deleted page {slug}")


@page.command("defaults")
@click.pass_obj
def page_defaults(context: Context) -> None:
    """Make pages to begin with: plans, help, contact.

    Those that are there stay as they are.
    """
    with context.database().writing() as session:
        made = [one.slug for one in provider_pages.add_defaults(session, audit.COMMAND, clock.now())]
    click.echo(f"made {', '.join(made)}; read and change them" if made else "they are there already")


def _text(octets: bytes) -> str:
    try:
        return octets.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise UserError("the page's text is not UTF-8.") from None


def _number(text: str) -> int | None:
    if text == _NONE:
        return None
    if not (text.isascii() and text.isdigit()):
        raise UserError(f"--position takes a whole number or {_NONE!r}, not {text!r}.")
    return int(text)


def _position(one: Page) -> str:
    return _NONE if one.position is None else str(one.position)


def _no_such_page(slug: str) -> UserError:
    return UserError(f"there is no page {slug!r}; `sendproof page list` shows them.")
