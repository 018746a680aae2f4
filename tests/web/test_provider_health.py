import datetime as dt

import pytest

from sendproof_core.health import Finding, Grade, Part, Reading
from sendproof_core.schema import ReadingPosition, UnknownLine
from sendproof_testing import sample_record
from sendproof_testing.own_site import OwnSite
from sendproof_testing.visitor import Visitor
from sendproof_web.provider_health import GRADES, worded


def test_each_part_is_shown_with_its_grade(boss: Visitor) -> None:
    page = boss.get("/provider/health").text
    for part in ("Milter", "Log readers", "Database", "Certificates", "Notices"):
        assert f">{part}</h2>" in page
    assert "SQLite" in page


def test_a_reader_that_is_late_is_said_with_what_to_do(site: OwnSite) -> None:
    with site.database.writing() as session:
        session.add(
            ReadingPosition(
                source="edge9:/var/<b>log</b>",
                fingerprint="f",
                fingerprint_octets=1,
                inode=1,
                offset=1,
                lines_read=1,
                read_at=site.now,
                read_up_to=site.now - dt.timedelta(hours=3),
            )
        )
    page = site.visitor("boss").get("/provider/health").text
    assert "edge9:/var/&lt;b&gt;log&lt;/b&gt; is 3 h behind." in page
    assert "Look whether sendproof-logparser runs on edge9." in page


def test_nothing_is_to_be_done_where_all_is_well(site: OwnSite) -> None:
    with site.app.test_request_context():
        well = Reading(Part.DOMAINS, Finding.DOMAINS_UNPROVED, Grade.GOOD, {"count": 1, "total": 2})
        assert worded(well) == ("good", "Domains that are not proved yet: 1 of 2.", "")
    assert set(GRADES) == set(Grade)


def test_lines_are_shown_by_program_and_downloaded_harmless(site: OwnSite) -> None:
    with site.database.writing() as session:
        for number, daemon in enumerate(("smtpd", "smtpd", None)):
            session.add(
                UnknownLine(
                    source="edge1:/log",
                    offset=number,
                    read_at=site.now,
                    line=f"{number} {sample_record.HOSTILE}",
                    daemon=daemon,
                )
            )
    boss = site.visitor("boss")
    page = boss.get("/provider/lines").text
    assert "other programs and journals" in page
    assert "<script>alert" not in page
    assert "\x1b" not in page
    of_others = boss.get("/provider/lines?daemon=other").text.partition("Newest lines of")[2]
    assert [f"{number} &lt;script" in of_others for number in range(3)] == [False, False, True]
    text = boss.get("/provider/lines.txt?daemon=smtpd")
    assert text.headers["Content-Disposition"].startswith("attachment")
    assert text.mimetype == "text/plain"
    assert (text.text.count("\n"), "\x1b" in text.text) == (2, False)


@pytest.mark.parametrize("query", ["below=x", "below=-1", "below=99999999999999999999", "daemon=%00"])
def test_nonsense_in_the_address_breaks_nothing(boss: Visitor, query: str) -> None:
    assert boss.get(f"/provider/lines?{query}").status_code == 200


def test_refusals_are_listed_and_narrowed(boss: Visitor) -> None:
    page = boss.get("/provider/refusals").text
    assert "Quarterly figures" in page
    assert "does not belong to your account" in page
    assert "Quarterly figures" in boss.get("/provider/refusals?account=max&reason=foreign-sender&source=milter").text
    assert "Nothing fits" in boss.get("/provider/refusals?account=eva").text
    assert "Nothing fits" in boss.get("/provider/refusals?q=nothing+of+the+kind").text
    assert boss.get("/provider/refusals?after=nonsense&source=x").status_code == 200
