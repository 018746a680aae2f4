import re

from sendproof_testing.sample_record import OFFER_ID
from sendproof_testing.visitor import Visitor


def test_times_are_the_readers_own_with_utc_beside_them(max_: Visitor) -> None:
    page = max_.get(f"/messages/{OFFER_ID}").text
    assert (
        '<time datetime="2026-11-22T13:03:05.214+00:00" title="2026-11-22 13:03:05 UTC">22 Nov 2026 14:03:05 CET</time>'
    ) in page


def test_the_list_names_the_day_where_it_is_not_today(max_: Visitor) -> None:
    times = re.findall(r"<time [^>]+>([^<]+)</time>", max_.get("/messages").text)
    assert times[:2] == ["14:03", "13:43"]
    assert "21 Nov 14:03" in times
