import datetime as dt
import zoneinfo

import pytest

from sendproof_core import wording
from sendproof_core.wording import ReadersTime

VIENNA = zoneinfo.ZoneInfo("Europe/Vienna")
TIMES = ReadersTime(VIENNA, dt.date(2026, 11, 22))
MOMENT = dt.datetime(2026, 11, 22, 13, 3, 5, 214_900, dt.UTC)


def test_times_are_the_readers_and_the_day_is_named_where_it_is_another() -> None:
    assert TIMES.clock(MOMENT) == "14:03:05.214"
    assert TIMES.clock(MOMENT.replace(microsecond=0)) == "14:03:05"
    assert TIMES.clock(MOMENT + dt.timedelta(hours=10)) == "23 Nov 00:03:05.214"
    assert TIMES.at(MOMENT) == "at 14:03:05"
    assert TIMES.at(MOMENT + dt.timedelta(days=5)) == "on 27 Nov at 14:03:05"
    assert TIMES.about(MOMENT + dt.timedelta(days=60)) == "on 21 Jan 2027 at about 14:03"
    assert TIMES.minute(MOMENT) == "14:03"
    assert TIMES.full(MOMENT) == "22 Nov 2026 14:03:05 CET"


def test_who_is_not_in_that_zone_is_told_its_name_and_the_moment_in_utc() -> None:
    theirs = ReadersTime(VIENNA, dt.date(2026, 11, 22), is_foreign=True)
    assert theirs.at(MOMENT) == "at 14:03:05 CET (13:03:05 UTC)"
    assert theirs.about(MOMENT) == "at about 14:03 CET (13:03 UTC)"
    assert theirs.at(MOMENT + dt.timedelta(hours=10)) == "on 23 Nov at 00:03:05 CET (22 Nov 23:03:05 UTC)"
    assert ReadersTime(dt.UTC, dt.date(2026, 11, 22), is_foreign=True).at(MOMENT) == "at 13:03:05 UTC"


def test_a_zone_without_an_abbreviation_is_named_by_its_offset() -> None:
    assert wording.zone_name(MOMENT.astimezone(zoneinfo.ZoneInfo("America/Sao_Paulo"))) == "UTC-03:00"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0 s"),
        (0.0123, "0.012 s"),
        (0.54, "0.54 s"),
        (2.1, "2.1 s"),
        (59.6, "1 min"),
        (936, "15 min 36 s"),
        (11_100, "3 h 5 min"),
        (360_000, "4 d 4 h"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds: float, words: str) -> None:
    assert wording.duration(seconds) == words


@pytest.mark.parametrize(("octets", "words"), [(337, "337 octets"), (18_655, "18.2 KB"), (5 << 20, "5.0 MB")])
def test_sizes_are_read_at_a_glance(octets: int, words: str) -> None:
    assert wording.size(octets) == words


@pytest.mark.parametrize(
    ("text", "short", "full"),
    [
        (None, "no TLS", None),
        (
            "Verified TLS connection established to h[192.0.2.1]:25: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384",
            "TLS 1.3, certificate verified",
            "TLSv1.3 TLS_AES_256_GCM_SHA384, certificate verified",
        ),
        (
            "Anonymous TLS connection established to h[192.0.2.1]:25: TLSv1 with cipher AECDH-AES256-SHA",
            "TLS 1.0, no certificate",
            "TLSv1 AECDH-AES256-SHA, no certificate",
        ),
        ("TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384", "TLS 1.2", "TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384"),
        ("something else", "TLS", "TLS"),
    ],
)
def test_tls_is_named_with_its_certificate(text: str | None, short: str, full: str | None) -> None:
    assert wording.tls(text) == short
    if text is not None:
        assert wording.tls_in_full(text) == full


def test_a_count_agrees_with_its_noun() -> None:
    assert [wording.counted(number, "line") for number in (0, 1, 1204)] == ["0 lines", "1 line", "1,204 lines"]
