"""Which host name may be asked for what: pixels by the tracking host, everything else by the console's.

So nothing that outsiders fetch shares a browser's cookies and rules with the console (where the operator gave pixels a
host name of their own), and a name that is not ours gets nothing: no page ever says what a Host header said.
"""

import enum
import re
from urllib.parse import urlsplit

from flask import Flask, Response, request

from sendproof_core.settings import SiteSettings

# Names for this machine that nobody outside can lead a browser to.
_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
# A name or an address, and perhaps a port: no user, no path.
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")
_PIXELS = ("pixel.fetch", "pixel.fetch_picture")
# A monitor asks by whatever address it knows.
_EVERYWHERE = ("health.healthz",)


class Host(enum.Enum):
    """What a host name stands for."""

    CONSOLE = "console"
    TRACKING = "tracking"
    BOTH = "both"
    NOBODY = "nobody"


def host_of(name: str, site: SiteSettings) -> Host:
    """What the value of a Host header stands for. Ports say nothing: a proxy may leave them out."""
    asked = _name(f"//{name}") if _HOST.fullmatch(name) else None
    console, tracking = _name(site.url), _name(site.tracking_url)
    if asked is not None and asked == tracking:
        return Host.BOTH if asked == console else Host.TRACKING
    if asked is not None and (asked == console or asked in _LOOPBACK):
        return Host.BOTH if console == tracking else Host.CONSOLE
    return Host.NOBODY


def install(app: Flask, site: SiteSettings) -> None:
    """Ask before every request. No page of ours answers what is refused here: its words would need the database."""

    def check() -> Response | None:
        if request.endpoint in _EVERYWHERE:
            return None
        host = host_of(request.headers.get("Host", ""), site)
        if host is Host.NOBODY:
            return _plain("This is not the address of this site. Use the one that your provider gave you.", 421)
        if host is Host.TRACKING and request.endpoint not in _PIXELS:
            return _plain("There is nothing to see at this address. It serves the pictures in mail.", 404)
        return None

    app.before_request(check)


def _name(address: str) -> str | None:
    """The host name in an address, as names are compared."""
    try:
        found = urlsplit(address).hostname
    except ValueError:
        return None
    return found.rstrip(".") if found else None


def _plain(text: str, status: int) -> Response:
    return Response(f"{text}\n", status, mimetype="text/plain")
