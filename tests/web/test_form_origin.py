import pytest

from sendproof_testing.visitor import Visitor
from sendproof_web.form_origin import is_own


@pytest.mark.parametrize(
    ("fetch_site", "origin", "expected"),
    [
        ("same-origin", "https://mail.example", True),
        ("none", None, True),
        ("same-site", "https://t.mail.example", False),
        ("cross-site", "https://mail.example", False),
        ("", None, False),
        (None, "https://mail.example", True),
        (None, "https://mail.example:8443", True),
        (None, "http://mail.example", False),
        (None, "https://mail.example.evil.example", False),
        (None, "null", False),
        (None, "", False),
        (None, None, True),
    ],
)
def test_a_form_comes_from_a_page_of_ours(fetch_site: str | None, origin: str | None, expected: bool) -> None:
    assert is_own(fetch_site, origin, host="mail.example", site_url="https://mail.example:8443") is expected


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}])
def test_a_form_from_elsewhere_is_refused_though_its_token_is_good(stranger: Visitor, headers: dict[str, str]) -> None:
    stranger.client.environ_base.update({f"HTTP_{name.upper().replace('-', '_')}": headers[name] for name in headers})
    answer = stranger.sign_in("max")
    assert answer.status_code == 403
    assert "Set-Cookie" not in answer.headers


def test_reading_is_nobodys_business(stranger: Visitor) -> None:
    assert stranger.client.get("/sign-in", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200
