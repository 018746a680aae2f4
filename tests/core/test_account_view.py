import datetime as dt

from sendproof_core import account_view, directory
from sendproof_core.database import Database
from sendproof_core.plans import QuotaLimits

NOW = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)


def test_an_account_is_shown_with_what_it_sends_as_and_with(either_database: Database) -> None:
    with either_database.writing() as session:
        directory.add_plan(session, "personal", QuotaLimits(recipients_per_day=100))
        account = directory.add_account(
            session,
            login="max",
            password_hash="x",
            plan_name="personal",
            time_zone="Europe/Vienna",
            tracking=True,
            notice_address="max@mail.example",
            address="max@mail.example",
            now=NOW,
        )
        directory.add_domain(session, "b.example", account, NOW)
        directory.add_domain(session, "a.example", account, NOW, proved=False)
        directory.add_own_address(session, account, "max@company.example", NOW)
        for minutes, login in ((2, "old"), (1, "new")):
            made = NOW - dt.timedelta(minutes=minutes)
            directory.add_credential(session, account, login=login, label=login.title(), secret="s", now=made)
        directory.revoke_credential(session, "old", NOW)
        account_id = account.id
    with either_database.reading() as session:
        view = account_view.read(session, account_id, NOW)
        assert account_view.read(session, 999, NOW) is None
    assert view is not None
    assert (view.login, view.plan_name, view.state, view.has_second_factor) == ("max", "personal", "live", False)
    assert [(domain.name, domain.proved_at) for domain in view.domains] == [("a.example", None), ("b.example", NOW)]
    assert view.own_addresses == ("max@company.example",)
    assert [(one.login, one.revoked_at, one.last_used_at) for one in view.credentials] == [
        ("new", None, None),
        ("old", NOW, None),
    ]
