import datetime as dt
import re
from urllib.parse import unquote_plus

from sendproof_core.remote_reply import Cause
from sendproof_core.schema import Attempt, QueueFile, Recipient
from sendproof_testing import sample_record
from sendproof_testing.own_site import OwnSite
from sendproof_testing.visitor import Visitor
from sendproof_web.provider_queue import CAUSES


def test_every_reason_has_its_words() -> None:
    assert set(CAUSES) == set(Cause)


def test_what_waits_is_shown_with_reason_words_and_next_attempt(site: OwnSite) -> None:
    hostile = f"{sample_record.GREYLISTED} <script>alert(1)</script> \x1b[31m"
    with site.database.writing() as session:
        for number in range(3):
            file = QueueFile(
                host="edge1",
                instance="postfix",
                queue_id=f"4w{number}",
                born_at=site.now - dt.timedelta(minutes=5),
                message_id=sample_record.OFFER_ID,
            )
            session.add(file)
            session.flush()
            recipient = Recipient(
                queue_file_id=file.id, address=f"a{number}@slow.example", state="deferred", state_at=site.now
            )
            session.add(recipient)
            session.flush()
            session.add(
                Attempt(
                    recipient_id=recipient.id,
                    attempted_at=site.now - dt.timedelta(minutes=1),
                    service="smtp",
                    status="deferred",
                    dsn="4.2.0",
                    relay="mx[192.0.2.1]:25",
                    delay_seconds=1.0,
                    delays_seconds=[],
                    text=hostile,
                )
            )
    boss = site.visitor("boss")
    page = boss.get("/provider/queue").text
    assert "slow.example" in page
    assert "Greylisting" in page
    assert "<script>alert" not in page
    assert "\x1b" not in page
    narrowed = boss.get("/provider/queue?domain=SLOW.example").text
    assert "Whose mail waits at slow.example" in narrowed
    assert ">max</a>" in narrowed
    wanted = re.search(r'name="next" value="([^"]+)"', narrowed)
    assert wanted
    assert unquote_plus(wanted[1]) == "/messages?q=to:@slow.example status:deferred"


def test_a_domain_at_which_nothing_waits(boss: Visitor) -> None:
    assert "Nothing waits" in boss.get("/provider/queue?domain=nowhere.example").text
    assert boss.get("/provider/queue?domain=%00..%2F").status_code == 200
