"""Who a page is made for, also where the database does not answer: an error page must not fail by asking for it."""

from sqlalchemy.exc import DBAPIError

from sendproof_web.access import Reader, visitor


def page_reader() -> Reader | None:
    """The reader; None where nobody is signed in or nobody can tell. For the look of a page, never for access."""
    try:
        return visitor()
    except DBAPIError:
        return None
