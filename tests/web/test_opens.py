import pytest

from sendproof_web.opens import Grade, grade


@pytest.mark.parametrize(
    ("user_agent", "expected"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.0", Grade.PERSON),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)", Grade.PERSON),
        ("Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; Microsoft Outlook 16.0.5)", Grade.PERSON),
        ("Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)", Grade.PROXY),
        ("YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html", Grade.PROXY),
        ("Mozilla/5.0", Grade.MACHINE),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/42.0.2311.135 "
            "Safari/537.36 Edge/12.246 Mozilla/5.0",
            Grade.MACHINE,
        ),
        ("curl/8.5.0", Grade.MACHINE),
        ("python-requests/2.32", Grade.MACHINE),
        ("Mozilla/5.0 (compatible; bingbot/2.0)", Grade.MACHINE),
        ("", Grade.MACHINE),
    ],
)
def test_a_machine_is_never_taken_for_a_person(user_agent: str, expected: Grade) -> None:
    assert grade("GET", user_agent, "") is expected


def test_who_asks_ahead_does_not_look() -> None:
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    assert grade("GET", agent, "prefetch;prerender") is Grade.MACHINE
    assert grade("HEAD", agent, "") is Grade.MACHINE
    assert grade("GET", agent, "   ") is Grade.PERSON
