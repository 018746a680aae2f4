import datetime as dt
import re

import pytest

from sendproof_core import health_words
from sendproof_core.health import Finding, Grade, Part, Reading

_VALUES: dict[str, object] = {
    "host": "edge1",
    "source": "edge1:/var/log/mail.log",
    "seconds": 7200.0,
    "count": 1204,
    "total": 9,
    "sent": 3,
    "days": 12,
    "file": "/etc/cert.pem",
    "kind": "SQLite",
    "version": "3.53",
    "octets": 2048,
    "schema": "0004",
    "wanted": "0006",
    "day": "2026-11-23",
    "at": dt.datetime(2026, 11, 22, 13, 3, tzinfo=dt.UTC),
}


@pytest.mark.parametrize("finding", list(Finding))
def test_every_finding_has_a_sentence_without_a_gap(finding: Finding) -> None:
    reading = Reading(Part.DATABASE, finding, Grade.BAD, _VALUES)
    for text in (health_words.sentence(reading), health_words.advice(reading)):
        assert not re.search(r"%\(|%s", text)
    assert health_words.sentence(reading).endswith(".")


def test_every_part_has_a_name() -> None:
    assert set(health_words.PARTS) == set(Part)


def test_values_are_shown_as_people_read_them() -> None:
    shown = health_words.shown(Reading(Part.DATABASE, Finding.DATABASE_WELL, Grade.GOOD, _VALUES))
    assert (shown["seconds"], shown["octets"], shown["count"], shown["days"]) == ("2 h", "2.0 KB", "1,204", "12")
    assert shown["at"] == "2026-11-22 13:03 UTC"
