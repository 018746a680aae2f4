import datetime as dt

import pytest

from sendproof_core import audit
from sendproof_core.audit import Actor
from sendproof_testing.own_site import OwnSite
from sendproof_testing.visitor import Visitor


def _record(site: OwnSite, count: int = 1) -> None:
    with site.database.writing() as session:
        for number in range(count):
            audit.record(
                session,
                "account suspended",
                Actor(None, "=HYPERLINK(1)", "192.0.2.1"),
                site.now - dt.timedelta(days=number),
                account_id=1,
                details={"reason": f"<script>number {number}</script>\x1b[31m"},
            )


def test_entries_are_shown_with_who_and_what_and_nothing_in_them_runs(site: OwnSite) -> None:
    _record(site)
    page = site.visitor("boss").get("/provider/audit").text
    assert "account suspended" in page
    assert "&lt;script&gt;number 0" in page
    assert "<script>number" not in page
    assert "\x1b" not in page


def test_they_are_narrowed_by_account_event_and_day(site: OwnSite) -> None:
    _record(site, 3)
    boss = site.visitor("boss")
    day = (site.now - dt.timedelta(days=1)).date().isoformat()
    page = boss.get(f"/provider/audit?since={day}&until={day}").text
    assert "number 1" in page
    assert "number 0" not in page
    assert "Nothing fits" in boss.get("/provider/audit?event=plan+created").text
    assert "Nothing fits" in boss.get("/provider/audit?account=nobody").text


@pytest.mark.parametrize("day", ["yesterday", "2026-02-30", "0001-01-01", "9999-12-31"])
def test_what_is_no_date_is_said_and_kept(boss: Visitor, day: str) -> None:
    page = boss.get(f"/provider/audit?since={day}")
    assert page.status_code == 200
    assert "This is no date" in page.text
    assert f'value="{day}"' in page.text


def test_older_entries_are_on_the_next_page(site: OwnSite) -> None:
    _record(site, 60)
    boss = site.visitor("boss")
    first = boss.get("/provider/audit").text
    assert "number 59" in first  # written last
    assert "number 5&" not in first
    assert "below=" in first
    assert boss.get("/provider/audit?below=x").status_code == 200


def test_the_csv_holds_no_formula(site: OwnSite) -> None:
    _record(site)
    answer = site.visitor("boss").get("/provider/audit.csv?event=suspended")
    assert answer.mimetype == "text/csv"
    header, row = answer.text.lstrip("\ufeff").splitlines()
    assert header == '"at","actor","account","event","details","client address"'
    assert '"\'=HYPERLINK(1)"' in row
    assert "\x1b" not in row
