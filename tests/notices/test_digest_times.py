"""A digest is due at the full hour, or in the morning, of the account's own clock."""

import datetime as dt
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_core.states import Digest
from sendproof_notices.digest_times import latest_boundary

ZONES = ("UTC", "Europe/Vienna", "Asia/Kolkata", "America/St_Johns", "Pacific/Apia")


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("digest", "zone", "now", "boundary"),
    [
        (Digest.HOURLY, "Europe/Vienna", "2026-11-22T14:03:05Z", "2026-11-22T14:00:00Z"),
        (Digest.HOURLY, "Asia/Kolkata", "2026-11-22T14:03:05Z", "2026-11-22T13:30:00Z"),
        # The clock is put back from 3 to 2: the hour from 2 to 3 comes twice.
        (Digest.HOURLY, "Europe/Vienna", "2026-10-25T00:30:00Z", "2026-10-25T00:00:00Z"),
        (Digest.HOURLY, "Europe/Vienna", "2026-10-25T01:30:00Z", "2026-10-25T01:00:00Z"),
        (Digest.DAILY, "Europe/Vienna", "2026-11-22T05:59:59Z", "2026-11-21T06:00:00Z"),
        (Digest.DAILY, "Europe/Vienna", "2026-11-22T06:00:00Z", "2026-11-22T06:00:00Z"),
        (Digest.DAILY, "Europe/Vienna", "2026-07-01T12:00:00Z", "2026-07-01T05:00:00Z"),
        (Digest.NONE, "Europe/Vienna", "2026-07-01T12:34:56Z", "2026-07-01T12:34:56Z"),
    ],
)
def test_the_latest_boundary(digest: Digest, zone: str, now: str, boundary: str) -> None:
    assert latest_boundary(digest, at(now), zoneinfo.ZoneInfo(zone)) == at(boundary)


@given(
    st.sampled_from(Digest),
    st.sampled_from(ZONES),
    st.integers(946_684_800, 2_208_988_800),  # the years 2000 to 2039
)
def test_a_boundary_is_never_in_the_future_and_not_long_past(digest: Digest, zone: str, second: int) -> None:
    now = dt.datetime.fromtimestamp(second, dt.UTC)
    past = now - latest_boundary(digest, now, zoneinfo.ZoneInfo(zone))
    # A day has 25 hours when the clock is put back; Apia left one out in 2011.
    longest = {Digest.NONE: 0, Digest.HOURLY: 1, Digest.DAILY: 48}[digest]
    assert dt.timedelta(0) <= past <= dt.timedelta(hours=longest)
