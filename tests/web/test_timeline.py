import datetime as dt

from sendproof_core.transcript_story import Entry, EntryKind
from sendproof_web.timeline import steps

AT = dt.datetime(2026, 11, 22, 13, 0, tzinfo=dt.UTC)


def entry(kind: EntryKind, at: dt.datetime | None = None) -> Entry:
    return Entry(kind, at, "", kind.value, ())


def test_what_has_no_moment_belongs_to_the_step_before_and_colours_it() -> None:
    entries = (
        entry(EntryKind.SUBMITTED, AT),
        entry(EntryKind.SIGNED),
        entry(EntryKind.ATTEMPT, AT),
        entry(EntryKind.DEFERRED),
        entry(EntryKind.NEXT),
        entry(EntryKind.OPENED, AT),
    )
    made = steps(entries)
    assert [step.look for step in made] == ["plain", "waiting", "opened"]
    assert tuple(item for step in made for item in step.entries) == entries


def test_a_timeline_may_begin_without_a_moment() -> None:
    assert len(steps((entry(EntryKind.SIGNED), entry(EntryKind.QUEUED)))) == 1
