"""Whether a form was sent from a page of ours, by what the browser says of it: a second lock beside the CSRF token.

A client that says nothing (no browser of today) is left to the token.
"""

from urllib.parse import urlsplit

from flask import Flask, abort, request

_READING = frozenset(("GET", "HEAD", "OPTIONS"))
# "none": the person sent it themselves, as by loading an answer again.
_OWN_FETCHES = frozenset(("same-origin", "none"))


def is_own(fetch_site: str | None, origin: str | None, *, host: str, site_url: str) -> bool:
    """Whether the headers Sec-Fetch-Site and Origin speak of a page of ours.

    ``host``: the Host header; a proxy may leave its port out, which ``site_url`` has.
    """
    if fetch_site is not None:
        return fetch_site in _OWN_FETCHES
    if origin is None:
        return True
    ours = urlsplit(site_url)
    return origin == f"{ours.scheme}://{ours.netloc}" or origin == f"{ours.scheme}://{host}"


def install(app: Flask, site_url: str) -> None:
    """Refuse what was sent from elsewhere, before anything reads it."""

    def check() -> None:
        headers = request.headers
        if request.method not in _READING and not is_own(
            headers.get("Sec-Fetch-Site"), headers.get("Origin"), host=headers.get("Host", ""), site_url=site_url
        ):
            abort(403)

    app.before_request(check)
