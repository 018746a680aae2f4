"""Plan and use, as their owner sees them."""

import datetime as dt
import json
import re

from sendproof_core.plans import windows
from sendproof_core.schema import Account, Plan, QuotaUse
from sendproof_core.states import Span
from sendproof_testing.own_site import OwnSite


def _use(site: OwnSite, login: str, *, days_ago: int = 0, span: Span = Span.DAY, recipients: int = 0) -> None:
    account = site.account(login)
    found = windows(site.now - dt.timedelta(days=days_ago), account.time_zone)
    window = {Span.HOUR: found.hour, Span.DAY: found.day, Span.MONTH: found.month}[span]
    with site.database.writing() as session:
        session.add(
            QuotaUse(
                account_id=account.id,
                span=span.value,
                window_begins=window.begins,
                messages=recipients,
                recipients=recipients,
                new_recipients=0,
            )
        )


def _change(site: OwnSite, login: str, **values: object) -> None:
    with site.database.writing() as session:
        account = session.get_one(Account, site.account(login).id)
        for name, value in values.items():
            setattr(account, name, value)


def _limit(site: OwnSite, **limits: int | None) -> None:
    with site.database.writing() as session:
        plan = session.get_one(Plan, site.account("max").plan_id)
        for name, value in limits.items():
            setattr(plan, name, value)


def test_each_limit_says_what_is_used_and_when_it_counts_anew(site: OwnSite) -> None:
    _limit(site, messages_per_hour=50, recipients_per_message=10, message_octets=26_214_400)
    _use(site, "max", recipients=430)
    _use(site, "max", span=Span.HOUR, recipients=12)
    _use(site, "eva", recipients=7)
    page = site.visitor("max").get("/account").text
    assert "430 of 500 used, 70 left; counts anew at 23 Nov 00:00" in page  # midnight in Vienna
    assert "12 of 50 used, 38 left; counts anew at 15:00" in page
    assert "10 recipients at the most" in page
    assert "25.0 MB at the most" in page
    assert "7 of 500 used" in site.visitor("eva").get("/account").text


def test_a_limit_that_is_used_up_says_what_to_do(site: OwnSite) -> None:
    _use(site, "max", recipients=500)
    page = site.visitor("max").get("/account").text
    assert "Recipients per day: all 500 are used. You can send again from 23 Nov 00:00." in page
    assert "stays in the outbox" in page
    assert "stays in the outbox" not in site.visitor("eva").get("/account").text


def test_a_plan_without_limits_has_no_bars(site: OwnSite) -> None:
    _limit(site, recipients_per_day=None)
    _use(site, "max", recipients=430)
    page = site.visitor("max").get("/account").text
    assert "does not limit how much you send" in page
    assert "<progress" not in page
    assert "430 used, no limit" in page


def test_suspension_and_test_mode_are_said_loudly(site: OwnSite) -> None:
    assert "suspended" not in site.visitor("max").get("/account").text
    _change(site, "max", suspended_at=site.now, suspended_reason="too many <b>bounces</b>\u202e", test_mode=True)
    page = site.visitor("max").get("/account").text
    assert "Your account is suspended: your mail is not taken." in page
    assert "too many &lt;b&gt;bounces&lt;/b&gt;" in page
    assert "\u202e" not in page
    assert "Test mode is on" in page


def test_the_chart_has_every_one_of_the_last_30_days(site: OwnSite) -> None:
    for days_ago, recipients in ((0, 5), (29, 7), (30, 9)):
        _use(site, "max", days_ago=days_ago, recipients=recipients)
    page = site.visitor("max").get("/account").text
    found = re.search(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found
    data = json.loads(found[1])
    assert len(data["x"]) == 30
    first = dt.datetime.fromtimestamp(data["x"][0], dt.UTC).date()
    assert first == dt.date(2026, 10, 24)
    recipients = data["series"][1]["values"]
    assert (recipients[0], recipients[-1], sum(recipients)) == (7, 5, 12)


def test_the_newest_refusals_lead_to_their_pages(site: OwnSite) -> None:
    page = site.visitor("max").get("/account").text
    found = re.search(r'href="(/refusals/\d+)"', page)
    assert found
    assert site.visitor("max").get(found[1]).status_code == 200
    assert "Nothing of yours was refused." in site.visitor("eva").get("/account").text
