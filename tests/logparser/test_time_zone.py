"""The zone of stamps that name none."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from sendproof_core.errors import UserError
from sendproof_logparser.time_zone import time_zone


def test_a_zone_is_named_as_the_zone_database_names_it() -> None:
    assert time_zone("Europe/Berlin", "--zone") == ZoneInfo("Europe/Berlin")


def test_without_a_name_it_is_the_machines_own() -> None:
    moment = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)
    assert moment.astimezone(time_zone("", "--zone")).utcoffset() == moment.astimezone().utcoffset()


@pytest.mark.parametrize("name", ["Europe/Berlim", "../../etc/passwd", "/etc/localtime", "Europe", "\0", "x" * 5000])
def test_what_is_no_zone_is_said_with_where_it_stands(name: str) -> None:
    with pytest.raises(UserError, match=r"^--zone names no time zone: "):
        time_zone(name, "--zone")
