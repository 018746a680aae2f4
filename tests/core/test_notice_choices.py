"""What an account wants to be told: the defaults, and what it chose."""

import dataclasses
import datetime as dt

import pytest

from sendproof_core import notice_choices
from sendproof_core.database import Database
from sendproof_core.notice_choices import LONGEST_DELAY_MINUTES, NoticeChoices
from sendproof_core.states import Digest
from sendproof_testing.notice_record import add_account

NOW = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)
CHOSEN = NoticeChoices(
    delivered=True,
    deferred=False,
    deferred_after_minutes=60,
    failed=False,
    opened=False,
    plan_use=False,
    digest=Digest.DAILY,
)


def test_without_a_choice_failures_delays_and_the_plan_are_told_and_opens_to_who_records_them(
    sqlite_database: Database,
) -> None:
    for login, tracking in (("max", False), ("eva", True)):
        account_id = add_account(sqlite_database, login, tracking=tracking)
        with sqlite_database.reading() as session:
            found = notice_choices.choices(session, account_id)
        assert (found.failed, found.deferred, found.plan_use, found.delivered) == (True, True, True, False)
        assert found.opened == tracking
        assert (found.deferred_after_minutes, found.digest) == (10, Digest.NONE)


def test_what_was_chosen_is_kept_and_can_be_changed(either_database: Database) -> None:
    account_id = add_account(either_database, "max")
    for chosen in (CHOSEN, dataclasses.replace(CHOSEN, digest=Digest.NONE)):
        with either_database.writing() as session:
            notice_choices.save(session, account_id, chosen, NOW)
        with either_database.reading() as session:
            assert notice_choices.choices(session, account_id) == chosen


@pytest.mark.parametrize("minutes", [0, LONGEST_DELAY_MINUTES + 1])
def test_a_delay_out_of_bounds_is_refused(sqlite_database: Database, minutes: int) -> None:
    account_id = add_account(sqlite_database, "max")
    with sqlite_database.writing() as session, pytest.raises(ValueError, match="deferred_after_minutes"):
        notice_choices.save(session, account_id, dataclasses.replace(CHOSEN, deferred_after_minutes=minutes), NOW)
