import datetime as dt
import re

import pytest
from sqlalchemy import select

from sendproof_core import directory
from sendproof_core.plans import QuotaLimits
from sendproof_core.schema import Plan, QuotaUse
from sendproof_testing.own_site import OwnSite
from sendproof_testing.visitor import Visitor

_EDITION = re.compile(r'name="edition"[^>]*value="([0-9a-f]+)"')


def _limits(site: OwnSite, name: str = "standard") -> QuotaLimits:
    with site.database.reading() as session:
        return directory.plan_limits(directory.find_plan(session, name))


def _path(site: OwnSite, name: str = "standard") -> str:
    with site.database.reading() as session:
        return f"/provider/plans/{directory.find_plan(session, name).id}"


def _edition(visitor: Visitor, path: str) -> str:
    found = _EDITION.search(visitor.get(path).text)
    assert found
    return found[1]


def test_plans_are_listed_with_their_limits_and_accounts(boss: Visitor) -> None:
    page = boss.get("/provider/plans").text
    assert "standard" in page
    assert "Recipients per day" in page
    assert re.search(r"\d accounts", page)


def test_a_plan_is_made_and_its_name_is_its_own(site: OwnSite) -> None:
    boss = site.visitor("boss")
    made = boss.post("/provider/plans/new", "/provider/plans/new", name="office", messages_per_day="1,000")
    assert made.status_code == 303
    assert _limits(site, "office") == QuotaLimits(messages_per_day=1000)
    again = boss.post("/provider/plans/new", "/provider/plans/new", name="office", messages_per_day="5")
    assert again.status_code == 422
    assert "Another plan has this name" in again.text
    assert 'value="5"' in again.text


def test_an_emptied_limit_is_no_limit(site: OwnSite) -> None:
    boss, path = site.visitor("boss"), _path(site)
    fields = {"name": "standard", "edition": _edition(boss, path), "recipients_per_day": "", "messages_per_hour": "7"}
    assert boss.post(path, path, **fields).status_code == 303
    assert _limits(site) == QuotaLimits(messages_per_hour=7)
    assert site.audited()[-1] == "plan changed"


def test_a_preview_says_what_it_would_have_meant_and_saves_nothing(site: OwnSite) -> None:
    with site.database.writing() as session:
        max_ = directory.find_account(session, "max")
        begins = site.now - dt.timedelta(days=3)
        session.add(
            QuotaUse(account_id=max_.id, span="day", window_begins=begins, messages=1, recipients=120, new_recipients=0)
        )
    boss, path = site.visitor("boss"), _path(site)
    fields = {"name": "standard", "edition": _edition(boss, path), "preview": "1"}
    page = boss.post(path, path, recipients_per_day="100", **fields).text
    assert "1 account used more than that, 1 times (max)" in page
    assert "Nothing is saved yet" in page
    assert 'value="100"' in page
    assert "Nobody would have noticed" in boss.post(path, path, recipients_per_day="120", **fields).text
    assert "Wider than before" in boss.post(path, path, recipients_per_day="", **fields).text
    assert "No limit is different" in boss.post(path, path, recipients_per_day="500", **fields).text
    assert _limits(site) == QuotaLimits(recipients_per_day=500)


def test_of_two_who_change_a_plan_at_once_the_second_is_told(site: OwnSite) -> None:
    first, second, path = site.visitor("boss"), site.visitor("boss"), _path(site)
    edition = _edition(second, path)
    first.post(path, path, name="standard", edition=edition, recipients_per_day="400")
    answer = second.post(path, path, name="standard", edition=edition, recipients_per_day="300")
    assert answer.status_code == 409
    assert "Somebody else has changed this plan" in answer.text
    assert _limits(site) == QuotaLimits(recipients_per_day=400)


@pytest.mark.parametrize("value", ["-5", "none", "1e9", "99999999999999"])
def test_what_is_no_limit_is_said_and_kept(site: OwnSite, value: str) -> None:
    boss, path = site.visitor("boss"), _path(site)
    answer = boss.post(path, path, name="standard", edition=_edition(boss, path), recipients_per_day=value)
    assert answer.status_code == 422
    assert f'value="{value}"' in answer.text
    assert "A whole number from 1, or nothing" in answer.text


def test_only_a_plan_that_nobody_has_is_deleted(site: OwnSite) -> None:
    with site.database.writing() as session:
        directory.add_plan(session, "unused", QuotaLimits())
    boss, used, unused = site.visitor("boss"), _path(site), _path(site, "unused")
    assert boss.post(f"{used}/delete", used).location == used
    assert boss.post(f"{unused}/delete", unused).location == "/provider/plans"
    with site.database.reading() as session:
        assert list(session.scalars(select(Plan.name))) == ["standard"]


def test_a_plan_that_is_not_there_answers_404(boss: Visitor) -> None:
    assert boss.get("/provider/plans/999").status_code == 404
    assert boss.post("/provider/plans/999/delete", "/provider/plans/new").status_code == 404
