"""The pages that the provider writes in Markdown: plans, help, contact. `markdown_pages` makes HTML of them.

Every change is in the audit log, in the same transaction.
"""

import datetime as dt
import hashlib
import re

from sqlalchemy import select
from sqlalchemy.orm import Session

from sendproof_core import audit
from sendproof_core.audit import Actor
from sendproof_core.errors import UserError
from sendproof_core.schema import Page

# Part of an address.
SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,58}[a-z0-9])?")
TITLE_CHARACTERS = 200
# A form of the site has 64 KB, in which every line end and many letters take more.
MARKDOWN_CHARACTERS = 20_000
_LAST_POSITION = 999

# What `add_defaults` begins with: slug, title, position, text.
DEFAULTS = (
    (
        "plans",
        "Plans",
        1,
        "Every plan is for mail from person to person. None is for bulk mail.\n\n"
        "{{plans}}\n\n"
        "A message to three people counts as one message and three recipients. Mail that we refuse is not counted.\n",
    ),
    (
        "help",
        "Help",
        2,
        "# Sending\n\n"
        "Under **Account**, **Credentials**, you make a login for each mail program. The page shows the "
        "server, the ports and the password for it.\n\n"
        "# What became of a message\n\n"
        "**Messages** lists what you sent, newest first, with the state of every recipient. Each message has a page "
        "that says what the receiving server answered, word for word.\n\n"
        "- **Accepted** means that the recipient's mail server took the message over. It does not mean that somebody "
        "read it.\n"
        "- **Deferred** means that their server asked us to try again later. We do, by ourselves.\n"
        "- **Bounced** means that their server refused the message. The page says why and what you can do.\n\n"
        "# If they say that they did not get it\n\n"
        "Open the message and follow *They did not get it?*. You find what to tell the recipient there, and a link "
        "for their administrator.\n",
    ),
    (
        "contact",
        "Contact",
        3,
        "Write here how your customers reach you: a mail address, a telephone number, your hours.\n",
    ),
)


def listed(session: Session) -> list[Page]:
    """All pages: those in the footer by position, then the others by slug."""
    pages = session.scalars(select(Page).order_by(Page.slug)).all()
    return sorted(pages, key=lambda page: (page.position is None, page.position or 0, page.slug))


def find(session: Session, slug: str) -> Page | None:
    """The page with that slug."""
    if not SLUG.fullmatch(slug):
        return None
    return session.scalar(select(Page).where(Page.slug == slug))


def edition(page: Page) -> str:
    """Changes with the page: a form that was made from an older edition is not saved over a newer one."""
    written = "\0".join([page.slug, page.title, str(page.position), page.markdown])
    return hashlib.sha256(written.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def save(
    session: Session,
    page: Page | None,
    *,
    slug: str,
    title: str,
    markdown: str,
    position: int | None,
    actor: Actor,
    now: dt.datetime,
) -> Page:
    """Change a page, or make one (None).

    Raises:
        UserError: a value cannot be, or another page has the slug.
    """
    _check(slug, title, markdown, position)
    other = find(session, slug)
    if other is not None and other is not page:
        raise UserError(f"there is a page {slug!r} already.")
    event = "page created" if page is None else "page changed"
    if page is None:
        page = Page(slug=slug, title=title, markdown=markdown, position=position, changed_at=now)
        session.add(page)
    elif (page.slug, page.title, page.markdown, page.position) == (slug, title, markdown, position):
        return page
    else:
        page.slug, page.title, page.markdown, page.position, page.changed_at = slug, title, markdown, position, now
    session.flush()
    details = {"page": slug, "title": title, "position": position, "characters": len(markdown)}
    audit.record(session, event, actor, now, details=details)
    return page


def remove(session: Session, page: Page, actor: Actor, now: dt.datetime) -> None:
    """Forget a page."""
    audit.record(session, "page deleted", actor, now, details={"page": page.slug, "title": page.title})
    session.delete(page)
    session.flush()


def add_defaults(session: Session, actor: Actor, now: dt.datetime) -> list[Page]:
    """Pages to begin with, those that are not there yet."""
    return [
        save(session, None, slug=slug, title=title, markdown=text, position=position, actor=actor, now=now)
        for slug, title, position, text in DEFAULTS
        if find(session, slug) is None
    ]


def _check(slug: str, title: str, markdown: str, position: int | None) -> None:
    if not SLUG.fullmatch(slug):
        raise UserError(f"{slug!r} cannot be in an address: small letters, digits and hyphens, at most 60.")
    if not title.strip() or len(title) > TITLE_CHARACTERS or not title.isprintable():
        raise UserError(f"a title has 1 to {TITLE_CHARACTERS} printable characters.")
    if len(markdown) > MARKDOWN_CHARACTERS:
        raise UserError(f"a page has at most {MARKDOWN_CHARACTERS:,} characters, this one has {len(markdown):,}.")
    if "\0" in markdown:
        raise UserError("a page holds text only.")
    if position is not None and not 0 <= position <= _LAST_POSITION:
        raise UserError(f"a position in the footer is from 0 to {_LAST_POSITION}.")
