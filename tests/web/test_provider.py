import datetime as dt
import json
import re

from sendproof_core import directory, plans
from sendproof_core.schema import QuotaUse
from sendproof_testing.own_site import OwnSite
from sendproof_testing.visitor import Visitor


def test_the_overview_has_figures_charts_and_domains(boss: Visitor) -> None:
    page = boss.get("/provider").text
    assert "What needs you first" in page
    charts = [json.loads(data) for data in re.findall(r'<script type="application/json">(.*?)</script>', page)]
    assert [len(chart["x"]) for chart in charts] == [30, 30]
    assert [len(chart["series"]) for chart in charts] == [2, 3]
    assert sum(charts[0]["series"][0]["values"]) > 0
    assert ">example.net<" in page


def test_an_account_at_its_limit_and_a_late_reader_come_first(site: OwnSite) -> None:
    with site.database.writing() as session:
        max_ = directory.find_account(session, "max")
        begins = plans.windows(site.now, max_.time_zone).day.begins
        session.add(
            QuotaUse(account_id=max_.id, span="day", window_begins=begins, messages=1, recipients=500, new_recipients=0)
        )
    page = site.visitor("boss").get("/provider").text
    assert "max has used up its plan: Recipients per day, 500 of 500." in page
    attention = page[page.index("What needs you first") : page.index("Messages today")]
    assert attention.index("No log was read yet") < attention.index("max has used up")


def test_an_account_near_its_limit_is_named_as_such(site: OwnSite) -> None:
    with site.database.writing() as session:
        max_ = directory.find_account(session, "max")
        begins = plans.windows(site.now, max_.time_zone).day.begins
        session.add(
            QuotaUse(account_id=max_.id, span="day", window_begins=begins, messages=1, recipients=401, new_recipients=0)
        )
    assert "max is near a limit: Recipients per day, 401 of 500." in site.visitor("boss").get("/provider").text


def test_it_stands_also_where_nothing_was_sent(site: OwnSite) -> None:
    site.now += dt.timedelta(days=100)
    page = site.visitor("boss").get("/provider")
    assert page.status_code == 200
    assert "Nothing was sent yet." in page.text


def test_it_is_for_the_provider_alone(max_: Visitor, stranger: Visitor) -> None:
    assert max_.get("/provider").status_code == 404
    assert stranger.get("/provider").location == "/sign-in?next=/provider"
