import datetime as dt

import pytest
from werkzeug.test import TestResponse

from sendproof_testing.own_site import OwnSite
from sendproof_testing.visitor import Visitor
from sendproof_web import preferences

_PATH = "/account/preferences"
_ORDINARY = {"pixel": "each", "picture": "", "time_zone": "Europe/Vienna", "language": ""}


def _save(visitor: Visitor, **fields: str) -> TestResponse:
    return visitor.post(_PATH, _PATH, **{**_ORDINARY, **fields})


def test_everything_on_the_page_is_kept(site: OwnSite) -> None:
    (site.file.path.parent / "images" / "logo.png").write_bytes(b"x")
    visitor = site.visitor("max")
    fields = {"pixel": "shared", "picture": "logo.png", "open_details": "y", "language": "de", "test_mode": "y"}
    assert _save(visitor, tracking="y", **fields).status_code == 303
    account = site.account("max")
    assert (account.tracking, account.shared_pixel, account.tracking_image) == (True, True, "logo.png")
    assert (account.open_details, account.language, account.test_mode) == (True, "de", True)
    assert _save(visitor).status_code == 303
    account = site.account("max")
    assert (account.tracking, account.shared_pixel, account.tracking_image) == (False, False, None)
    assert (account.open_details, account.language, account.test_mode) == (False, None, False)
    assert site.audited().count("account changed") == 2


def test_the_page_shows_what_is_kept(site: OwnSite) -> None:
    visitor = site.visitor("max")
    _save(visitor, test_mode="y", pixel="shared")
    page = visitor.get(_PATH).text
    assert page.count("checked") == 2
    assert 'value="Europe/Vienna"' in page


@pytest.mark.parametrize(
    "fields",
    [
        {"time_zone": "Mars/Olympus"},
        {"time_zone": ""},
        {"time_zone": "../../etc/passwd"},
        {"pixel": "none"},
        {"picture": "other.png"},
        {"picture": "../secret.png"},
        {"language": "tlh"},
    ],
)
def test_what_cannot_be_is_refused_beside_its_field(site: OwnSite, fields: dict[str, str]) -> None:
    answer = _save(site.visitor("max"), test_mode="y", **fields)
    assert answer.status_code == 422
    assert 'class="field-problem"' in answer.text
    assert not site.account("max").test_mode


def test_only_pictures_are_offered(site: OwnSite) -> None:
    folder = site.file.path.parent / "images"
    for name in ("a.png", "b.gif", "notes.txt", ".hidden.png", "Upper.png"):
        (folder / name).write_bytes(b"x")
    page = site.visitor("max").get(_PATH).text
    assert 'value="a.png"' in page
    assert 'value="b.gif"' in page
    assert "notes.txt" not in page
    assert "hidden.png" not in page
    assert "Upper" not in page


def test_a_picture_that_was_taken_away_stays_the_accounts_until_it_chooses(site: OwnSite) -> None:
    (site.file.path.parent / "images" / "logo.png").write_bytes(b"x")
    visitor = site.visitor("max")
    _save(visitor, picture="logo.png")
    (site.file.path.parent / "images" / "logo.png").unlink()
    assert _save(visitor, picture="logo.png").status_code == 303


def test_the_time_zone_cannot_be_moved_to_begin_a_new_day_of_the_plan(site: OwnSite) -> None:
    visitor = site.visitor("max")
    assert _save(visitor, time_zone="Asia/Tokyo").status_code == 303
    assert site.account("max").time_zone == "Asia/Tokyo"
    answer = _save(visitor, time_zone="Europe/Vienna", test_mode="y")
    assert answer.status_code == 422
    assert "You changed it lately." in answer.text
    account = site.account("max")
    assert (account.time_zone, account.test_mode) == ("Asia/Tokyo", False)
    assert _save(visitor, time_zone="Asia/Tokyo", test_mode="y").status_code == 303
    site.now += preferences.ZONE_PAUSE + dt.timedelta(minutes=1)
    assert _save(site.visitor("max"), time_zone="Europe/Vienna").status_code == 303


def test_the_zones_offered_are_those_that_people_look_for() -> None:
    zones = preferences.time_zones()
    assert {"UTC", "Europe/Vienna", "America/Argentina/Ushuaia", "Asia/Kolkata"} <= set(zones)
    assert not [name for name in zones if name.startswith(("posix/", "right/"))]
    assert "localtime" not in zones
