"""The provider's own pages, written in Markdown: plans, help, contact. Everybody reads them, the provider edits."""

import contextlib
import logging
import time
from dataclasses import dataclass

from flask import Blueprint, abort, current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm  # type: ignore[import-untyped] # it has no types
from markupsafe import Markup
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session
from wtforms import (  # type: ignore[import-untyped] # it has no types
    HiddenField,
    IntegerField,
    StringField,
    TextAreaField,
    ValidationError,
)
from wtforms.validators import (  # type: ignore[import-untyped] # it has no types
    InputRequired,
    Length,
    NumberRange,
    Optional,
    Regexp,
)

from sendproof_core import directory, markdown_pages, provider_pages
from sendproof_core.errors import UserError
from sendproof_core.schema import Page, Plan
from sendproof_web.access import actor, provider, public
from sendproof_web.plan_limits import limit_words
from sendproof_web.services import services

_LOG = logging.getLogger(__name__)

blueprint = Blueprint("pages", __name__)

# Every page has the footer: it is read from the database this often by one process.
_FOOTER_SECONDS = 5.0
_CACHE = "sendproof_footer_pages"


@dataclass(frozen=True)
class FooterPage:
    """A link in the footer."""

    slug: str
    title: str


class PageForm(FlaskForm):  # type: ignore[misc] # Flask-WTF has no types
    """One page. ``edition``: which one the form was made from."""

    title = StringField(
        _l("Title"), [InputRequired(_l("A title, please.")), Length(max=provider_pages.TITLE_CHARACTERS)]
    )
    slug = StringField(
        _l("Address"),
        [
            InputRequired(_l("A word for the address, please.")),
            Regexp(rf"{provider_pages.SLUG.pattern}\Z", message=_l("Small letters, digits and hyphens, at most 60.")),
        ],
    )
    position = IntegerField(
        _l("Place in the footer"), [Optional(), NumberRange(0, 999, _l("A whole number from 0 to 999, or nothing."))]
    )
    markdown = TextAreaField(_l("Text"), [Length(max=provider_pages.MARKDOWN_CHARACTERS)])
    edition = HiddenField()

    def validate_title(self, field: StringField) -> None:
        """Refuse what no list could show."""
        if not field.data.strip() or not field.data.isprintable():
            raise ValidationError(_("Use letters, digits and ordinary signs."))


def footer_pages() -> tuple[FooterPage, ...]:
    """The pages in the footer, in their order; as they were a few seconds ago."""
    read_at, found = current_app.extensions.get(_CACHE, (None, ()))
    now = time.monotonic()
    if read_at is None or now - read_at > _FOOTER_SECONDS:
        found = _read_footer()
        current_app.extensions[_CACHE] = (now, found)
    return tuple(found)


@blueprint.app_context_processor
def _footer() -> dict[str, object]:
    return {"footer_pages": footer_pages}


@blueprint.get("/pages/<slug>")
@public
def show(slug: str) -> ResponseReturnValue:
    """A page."""
    with services().database.reading() as session:
        page = _found(session, slug)
        title, content = page.title, _html(page.markdown)
    return render_template("pages_show.html", title=title, content=content)


@blueprint.get("/provider/pages")
@provider
def manage() -> ResponseReturnValue:
    """All pages."""
    with services().database.reading() as session:
        pages = provider_pages.listed(session)
        slugs = {page.slug for page in pages}
        missing = [slug for slug, *_others in provider_pages.DEFAULTS if slug not in slugs]
        return render_template("pages_manage.html", pages=pages, missing=missing)


@blueprint.post("/provider/pages/defaults")
@provider
def add_defaults() -> ResponseReturnValue:
    """Make the pages to begin with."""
    made: list[str] = []
    # Somebody else makes them at the same moment: then all are there.
    with contextlib.suppress(IntegrityError), services().database.writing() as session:
        made = [page.slug for page in provider_pages.add_defaults(session, actor(), services().now())]
    _forget_footer()
    flash(_("Made: %(pages)s. Read and change them.", pages=", ".join(made)) if made else _("All are there."), "good")
    return redirect(url_for("pages.manage"), 303)


@blueprint.route("/provider/pages/new", methods=["GET", "POST"])
@provider
def new() -> ResponseReturnValue:
    """A new page."""
    return _edit(None, PageForm())


@blueprint.route("/provider/pages/<slug>/edit", methods=["GET", "POST"])
@provider
def edit(slug: str) -> ResponseReturnValue:
    """Change a page."""
    with services().database.reading() as session:
        page = _found(session, slug)
        form = PageForm(obj=page, edition=provider_pages.edition(page))
    return _edit(slug, form)


@blueprint.post("/provider/pages/<slug>/delete")
@provider
def delete(slug: str) -> ResponseReturnValue:
    """Forget a page."""
    with services().database.writing() as session:
        page = _found(session, slug)
        title = page.title
        provider_pages.remove(session, page, actor(), services().now())
    _forget_footer()
    flash(_("The page “%(title)s” is deleted.", title=title), "good")
    return redirect(url_for("pages.manage"), 303)


def _found(session: Session, slug: str) -> Page:
    page = provider_pages.find(session, slug)
    if page is None:
        abort(404)
    return page


def _edit(slug: str | None, form: PageForm) -> ResponseReturnValue:
    """Show the form, its preview, or what became of saving it. ``slug`` None: of a new page."""
    if request.method != "POST":
        return _form_page(slug, form)
    if not form.validate():
        return _form_page(slug, form), 422
    form.markdown.data = (form.markdown.data or "").replace("\r\n", "\n").replace("\0", "")
    if "preview" in request.form:
        return _form_page(slug, form, preview=_html(form.markdown.data))
    try:
        with services().database.writing() as session:
            page = None if slug is None else _found(session, slug)
            if page is not None and provider_pages.edition(page) != form.edition.data:
                form.form_errors.append(
                    _(
                        "Somebody else has changed this page in the meantime. Copy your text, load the page again, and "
                        "put your change into theirs."
                    )
                )
                return _form_page(slug, form), 409
            saved = provider_pages.save(
                session,
                page,
                slug=form.slug.data,
                title=form.title.data,
                markdown=form.markdown.data,
                position=form.position.data,
                actor=actor(),
                now=services().now(),
            ).slug
    except (UserError, IntegrityError):  # the latter: somebody made it at the same moment
        form.slug.errors = [_("Another page has this address.")]
        return _form_page(slug, form), 422
    _forget_footer()
    flash(_("The page is saved."), "good")
    return redirect(url_for("pages.edit", slug=saved), 303)


def _form_page(slug: str | None, form: PageForm, preview: Markup | None = None) -> str:
    return render_template("pages_edit.html", slug=slug, form=form, preview=preview)


def _html(markdown: str) -> Markup:
    """Of the provider's own text; `markdown_pages` lets no HTML through."""
    return Markup(markdown_pages.render(markdown, _piece, table_word=_("Table")))  # noqa: S704


def _piece(name: str) -> str | None:
    """``plans``: a table of all plans; ``plans: a, b``: of these."""
    kind, _colon, rest = name.partition(":")
    if kind.strip() != "plans":
        return None
    wanted = [part.strip() for part in rest.split(",") if part.strip()]
    with services().database.reading() as session:
        found = {plan.name: directory.plan_limits(plan) for plan in session.scalars(select(Plan).order_by(Plan.name))}
    plans = [(plan, limit_words(found[plan])) for plan in (wanted or found) if plan in found]
    return render_template("pages_plans.html", plans=plans)


def _read_footer() -> tuple[FooterPage, ...]:
    """None where the database does not answer: the page that says so has a footer, too."""
    wanted = select(Page.slug, Page.title).where(Page.position.is_not(None)).order_by(Page.position, Page.slug)
    try:
        with services().database.reading() as session:
            return tuple(FooterPage(slug, title) for slug, title in session.execute(wanted))
    except SQLAlchemyError as error:
        _LOG.error("event=database_unavailable reason=%s", type(error).__name__)
        return ()


def _forget_footer() -> None:
    current_app.extensions.pop(_CACHE, None)
