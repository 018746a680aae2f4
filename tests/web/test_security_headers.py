from pathlib import Path

import pytest
from flask import Flask

from sendproof_testing import sample_site
from sendproof_testing.sample_record import OFFER_ID
from sendproof_testing.visitor import Visitor
from sendproof_web import services
from sendproof_web.app import create_app

PATHS = {
    "home": "/",
    "static": "/static/sendproof.css",
    "sign_in.sign_in": "/sign-in",
    "sign_in.sign_out": "/sign-out",
    "messages.index": "/messages",
    "messages.show": f"/messages/{OFFER_ID}",
    "pixel.fetch": "/o/x.gif",
    "pixel.fetch_picture": "/o/x/logo.png",
    "health.healthz": "/healthz",
}


def test_every_route_is_looked_at(app: Flask) -> None:
    assert {rule.endpoint for rule in app.url_map.iter_rules()} == set(PATHS)


@pytest.mark.parametrize("path", [*PATHS.values(), "/nowhere"])
@pytest.mark.parametrize("signed_in", [False, True])
def test_every_answer_carries_the_headers(stranger: Visitor, max_: Visitor, path: str, signed_in: bool) -> None:
    visitor = max_ if signed_in else stranger
    with visitor.get(path) as answer:
        headers = answer.headers
    policy = headers["Content-Security-Policy"].split("; ")
    assert policy[0] == "default-src 'none'"
    assert {"base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'"} <= set(policy)
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    cached = headers["Cache-Control"]
    assert cached == "no-store" if path != PATHS["static"] else "max-age=31536000" in cached


@pytest.mark.parametrize("path", ["/sign-in", "/messages", f"/messages/{OFFER_ID}", "/nowhere"])
def test_no_page_needs_what_the_policy_forbids(max_: Visitor, path: str) -> None:
    page = max_.get(path).text
    for forbidden in ("<script", "<style", " style=", "javascript:", " onclick", " onload", "//cdn"):
        assert forbidden not in page


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
