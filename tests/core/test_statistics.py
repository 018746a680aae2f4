import datetime as dt

import pytest
from sqlalchemy import insert

from sendproof_core import statistics
from sendproof_core.database import Database
from sendproof_core.remote_reply import Cause
from sendproof_core.schema import AcceptanceTime, DeliveryDay, QuotaUse
from sendproof_core.states import Span
from sendproof_core.statistics import AccountDay, Figures
from sendproof_testing import sample_record

TODAY = sample_record.SENT_AT.date()
DAY = dt.timedelta(days=1)


@pytest.fixture
def filled(either_database: Database) -> Database:
    with either_database.writing() as session:
        sample_record.fill(session, older_messages=3)
    return either_database


def test_every_day_is_there_oldest_first_also_without_mail(filled: Database) -> None:
    with filled.reading() as session:
        days = statistics.days(session, TODAY - 3 * DAY, TODAY + DAY)
    assert [day.day for day in days] == [TODAY + number * DAY for number in range(-3, 2)]
    assert days[2].figures == Figures(messages=3, recipients=3, delivered=3)
    assert days[0].figures == days[4].figures == Figures()
    # A recipient that was put off twice was put off once; the mail that an alias sent on counts where it went.
    assert days[3].figures == Figures(messages=5, recipients=12, delivered=5, deferred=3, bounced=3)


def test_receiving_domains_come_with_most_mail_first_and_their_times(filled: Database) -> None:
    with filled.reading() as session:
        found = statistics.domains(session, TODAY - DAY)
        assert statistics.domains(session, TODAY - DAY, limit=1) == found[:1]
        assert statistics.domains(session, TODAY + DAY) == ()
        overall = statistics.acceptance_seconds(session, TODAY - DAY)
    assert [domain.domain for domain in found] == ["example.net", "example.org", "example.com", "example.edu"]
    net, org, _, edu = found
    assert (net.figures.recipients, net.figures.delivered, net.figures.deferred) == (6, 5, 1)
    assert org.p50_seconds is not None
    assert 1 <= org.p50_seconds <= 5
    assert (edu.p50_seconds, edu.p95_seconds) == (None, None)
    assert overall[0] is not None
    assert overall[1] is not None
    assert overall[0] <= overall[1]


def test_sums_of_several_days_are_one_line(either_database: Database) -> None:
    counts = dict.fromkeys(("messages", "deferred", "bounced", "expired"), 0)
    with either_database.writing() as session:
        for number in range(40):
            day = TODAY - number * DAY
            session.execute(
                insert(DeliveryDay).values(day=day, domain="example.net", recipients=2, delivered=1, **counts)
            )
            session.execute(insert(AcceptanceTime).values(day=day, domain="example.net", bucket=3, recipients=1))
    with either_database.reading() as session:
        (domain,) = statistics.domains(session, TODAY - 29 * DAY)
    assert (domain.figures.recipients, domain.figures.delivered) == (60, 30)
    assert domain.p50_seconds == 4.0


@pytest.mark.parametrize(("seconds", "bucket"), [(0, 0), (1, 0), (1.01, 1), (60, 7), (61, 8), (10**9, 20)])
def test_a_time_falls_in_the_bucket_that_ends_with_it_or_above_it(seconds: float, bucket: int) -> None:
    assert statistics.acceptance_bucket(seconds) == bucket


def test_a_receiving_domain_has_one_spelling_and_a_bounded_length() -> None:
    assert statistics.receiving_domain("Anna@Example.NET.") == "example.net"
    assert statistics.receiving_domain("postmaster") == "-"
    assert statistics.receiving_domain("x@" + "a" * 400) == "a" * 255


def test_percentiles_lie_within_their_buckets() -> None:
    assert statistics.percentile_seconds({}, 50) is None
    assert statistics.percentile_seconds({0: 10}, 50) == 0.5
    assert statistics.percentile_seconds({0: 90, 7: 10}, 50) == pytest.approx(0.556, abs=0.01)
    assert statistics.percentile_seconds({0: 90, 7: 10}, 95) == 45.0
    assert statistics.percentile_seconds({20: 3}, 95) == 432_000.0


def test_what_waits_is_told_by_domain_and_reason(filled: Database) -> None:
    with filled.reading() as session:
        (waiting,) = statistics.deferred_now(session)
    assert (waiting.domain, waiting.cause, waiting.recipients) == ("example.edu", Cause.UNREACHABLE, 2)
    assert waiting.oldest < waiting.newest_attempt_at
    assert waiting.reply == "connect to mail.example.edu[203.0.113.77]:25: Connection refused"


def test_an_accounts_days_are_those_of_its_zone(filled: Database) -> None:
    midnight = dt.datetime(2026, 11, 20, 23, tzinfo=dt.UTC)  # in Vienna
    with filled.writing() as session:
        for number, span in ((0, Span.DAY), (1, Span.DAY), (0, Span.HOUR), (40, Span.DAY)):
            use = QuotaUse(
                account_id=1, span=span, window_begins=midnight - number * DAY, messages=2, recipients=5,
                new_recipients=1,
            )  # fmt: skip
            session.add(use)
    with filled.reading() as session:
        assert statistics.account_days(session, 1, dt.date(2026, 11, 20)) == (
            AccountDay(dt.date(2026, 11, 20), 2, 5, 1), AccountDay(dt.date(2026, 11, 21), 2, 5, 1),
        )  # fmt: skip
        assert statistics.account_days(session, 2, dt.date(2026, 11, 20)) == ()


def test_when_a_login_was_last_used_is_known_of_those_that_were(filled: Database) -> None:
    with filled.reading() as session:
        assert statistics.last_used(session, ["max", "nobody"]) == {"max": sample_record.SENT_AT}
        assert statistics.last_used(session, []) == {}
