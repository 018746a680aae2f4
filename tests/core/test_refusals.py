import dataclasses
import datetime as dt

import pytest
from sqlalchemy import select

from sendproof_core import refusals
from sendproof_core.database import Database
from sendproof_core.plans import OverQuota, QuotaLimits
from sendproof_core.refusals import LimitReached, RefusalDetail
from sendproof_core.schema import Account, Refusal
from sendproof_milter.work import Reason
from sendproof_testing import sample_record

RESETS = dt.datetime(2026, 11, 22, 23, 0, tzinfo=dt.UTC)
REFUSAL = RefusalDetail(
    1, RESETS, "max", "edge1", None, "max@own.example", (), None, "over-quota", "550 5.7.1 No", "milter", None, None
)


def test_a_refusal_is_its_accounts_alone(sqlite_database: Database) -> None:
    with sqlite_database.writing() as session:
        sample_record.fill(session)
    with sqlite_database.reading() as session:
        ids = {row.login: row.id for row in session.execute(select(Account.login, Account.id))}
        number = session.scalars(select(Refusal.id)).one()
        found = refusals.load(session, number, ids["max"])
        assert found is not None
        assert found.recipients == ("anna@example.net",)
        assert refusals.load(session, number, ids["eve"]) is None
        assert refusals.load(session, number) == found
        assert refusals.load(session, number + 1, ids["max"]) is None


@pytest.mark.parametrize(
    "name",
    [
        field.name
        for field in dataclasses.fields(QuotaLimits)
        if field.name.count("_per_") and field.name.rpartition("_")[2] != "message"
    ],
)
def test_every_limit_that_the_milter_names_is_read_again(name: str) -> None:
    over = OverQuota(name, 500, 498, 5, RESETS)
    found = refusals.limit_reached(f"{over.code} {over.dsn} {over.reply_text('Europe/Vienna')}")
    assert found is not None
    assert (found.limit, found.used, found.asked, found.alone) == (500, 498, 5, False)
    assert found.span == name.rpartition("_")[2]
    assert found.resets == "2026-11-23 00:00 CET"


def test_a_message_that_is_too_much_by_itself_needs_no_waiting() -> None:
    over = OverQuota("recipients_per_day", 500, 0, 501, RESETS)
    refusal = dataclasses.replace(REFUSAL, reply=f"550 5.7.1 {over.reply_text('UTC')}")
    assert refusal.limit == LimitReached(500, "recipients", "day", 0, 501, "2026-11-22 23:00 UTC", alone=True)
    assert "divide its recipients" in refusals.advice(refusal)


def test_when_to_send_again_is_said() -> None:
    over = OverQuota("recipients_per_hour", 500, 498, 5, RESETS)
    refusal = dataclasses.replace(REFUSAL, reply=f"452 4.7.1 {over.reply_text('UTC')}")
    assert refusals.advice(refusal).startswith("Your mail program may try again by itself; if not, send it again after")


@pytest.mark.parametrize(
    "reply", ["", "550 no", "Plan limit reached: x recipients per day", "Plan limit reached: 1 a per day, 2"]
)
def test_another_reply_names_no_limit(reply: str) -> None:
    assert refusals.limit_reached(reply) is None


@pytest.mark.parametrize("reason", [*Reason, "milter-reject", "unheard-of"])
def test_every_reason_has_its_advice(reason: str) -> None:
    said = refusals.advice(dataclasses.replace(REFUSAL, reason=str(reason), reply="550 5.7.1 No"))
    assert said.endswith(".")


def test_a_failed_sign_in_and_passing_trouble_have_their_advice() -> None:
    sign_in = dataclasses.replace(REFUSAL, source="sign-in", reason="sign-in", reply="535 5.7.8 Error")
    assert "password" in refusals.advice(sign_in)
    assert "in a few minutes" in refusals.advice(dataclasses.replace(REFUSAL, reason="x", reply="451 4.3.0 later"))
