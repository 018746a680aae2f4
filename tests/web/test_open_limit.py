import datetime as dt
import uuid

from sendproof_web import open_limit
from sendproof_web.open_limit import OpenLimit

NOW = dt.datetime(2026, 11, 22, 14, 0, 5, tzinfo=dt.UTC)
ONE, OTHER = uuid.UUID(int=1), uuid.UUID(int=2)


def test_the_first_opens_of_a_minute_are_written_down_and_the_rest_are_counted() -> None:
    limit = OpenLimit(per_minute=3)
    assert [limit.admits(ONE, 1, NOW) for _ in range(5)] == [True, True, True, False, False]
    assert (limit.left_out(), limit.left_out()) == (2, 0)


def test_each_recipients_pixel_counts_by_itself() -> None:
    limit = OpenLimit(per_minute=1)
    assert [limit.admits(*pixel, NOW) for pixel in ((ONE, 1), (ONE, 2), (OTHER, 1), (ONE, 1))] == [
        True,
        True,
        True,
        False,
    ]


def test_the_next_minute_begins_anew() -> None:
    limit = OpenLimit(per_minute=1)
    assert limit.admits(ONE, 1, NOW)
    assert not limit.admits(ONE, 1, NOW + dt.timedelta(seconds=54))
    assert limit.admits(ONE, 1, NOW + dt.timedelta(seconds=55))


def test_memory_stays_bounded_however_many_pixels_there_are() -> None:
    limit = OpenLimit(per_minute=1)
    for number in range(open_limit._MOST_PIXELS + 100):
        assert limit.admits(uuid.UUID(int=number), 1, NOW)
    assert len(limit._counts) == open_limit._MOST_PIXELS
