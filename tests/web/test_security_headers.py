from pathlib import Path

import pytest

from sendproof_testing import sample_site
from sendproof_testing.sample_record import OFFER_ID
from sendproof_testing.visitor import Visitor
from sendproof_web import services
from sendproof_web.app import create_app

# `test_routes` looks at every other.
STYLESHEET = "/static/sendproof.css"
PATHS = (
    "/",
    STYLESHEET,
    "/sign-in",
    "/sign-out",
    "/messages",
    f"/messages/{OFFER_ID}",
    "/o/x.gif",
    "/healthz",
    "/nowhere",
)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("signed_in", [False, True])
def test_every_answer_carries_the_headers(stranger: Visitor, max_: Visitor, path: str, signed_in: bool) -> None:
    visitor = max_ if signed_in else stranger
    with visitor.get(path) as answer:
        headers = answer.headers
    policy = headers["Content-Security-Policy"].split("; ")
    assert policy[0] == "default-src 'none'"
    assert {"script-src 'self'", "style-src 'self'", "connect-src 'self'"} <= set(policy)
    assert {"base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'"} <= set(policy)
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    cached = headers["Cache-Control"]
    assert cached == "no-store" if path != STYLESHEET else "max-age=31536000" in cached


def test_over_https_the_cookie_is_bound_to_this_host(tmp_path: Path) -> None:
    app = create_app(sample_site.prepare(tmp_path, https=True))
    answer = app.test_client().get("/sign-in", base_url="https://127.0.0.1")
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-sendproof=")
    assert "Secure" in cookie
    assert "Path=/" in cookie
    assert "Domain" not in cookie
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    with app.app_context():
        services.services().database.close()
