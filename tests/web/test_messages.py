import csv
import datetime as dt
import io
import json
import re
import uuid
from pathlib import Path

import pytest
from sqlalchemy import select, update

from sendproof_core.schema import Account, Message, QueueFile, Recipient, Refusal
from sendproof_core.search_query import ProblemKind
from sendproof_core.states import RecipientState
from sendproof_testing import sample_record, sample_site
from sendproof_testing.own_site import OwnSite
from sendproof_testing.sample_record import FOREIGN_ID, OFFER_ID, SENT_AT, UNKNOWN_ID
from sendproof_testing.visitor import Visitor
from sendproof_web import messages, sessions
from sendproof_web.app import create_app


def subjects(page: str) -> list[str]:
    return re.findall(r'class="row-subject" href="[^"]+"><bdi>([^<]*)', page)


def test_the_list_shows_each_recipients_state_at_a_glance(max_: Visitor) -> None:
    page = max_.get("/messages").text
    row = page[page.index("Offer 2026-117") : page.index("Quarterly figures")]
    assert re.findall(r"</svg>(\w+)</span> <bdi class=\"address\">([^<]+)", row) == [
        ("ACCEPTED", "anna@example.net"),
        ("ACCEPTED", "ben@example.org"),
        ("BOUNCED", "carl@example.com"),
        ("DEFERRED", "dora@example.edu"),
    ]
    assert "Opened" in row


def test_what_was_refused_at_submission_is_shown_with_the_reason(max_: Visitor) -> None:
    page = max_.get("/messages").text
    assert "REFUSED" in page
    assert "550 5.7.1 &lt;max@elsewhere.example&gt; does not belong to your account" in page


def test_paging_shows_every_row_once_and_leads_back_again(max_: Visitor) -> None:
    pages: list[list[str]] = []
    path: str | None = "/messages"
    last = ""
    while path:
        last = max_.get(path).text
        pages.append(subjects(last))
        older = re.search(r'rel="next" href="([^"]+)"', last)
        path = older[1].replace("&amp;", "&") if older else None
    seen = [subject for page in pages for subject in page]
    assert len(pages) > 1
    assert len(seen) == 65
    newer = re.search(r'rel="prev" href="([^"]+)"', last)
    assert newer
    assert subjects(max_.get(newer[1].replace("&amp;", "&")).text) == pages[-2]


def test_another_accounts_messages_are_in_no_list(max_: Visitor) -> None:
    assert "Not for max" not in max_.get("/messages").text
    assert "Not for max" not in max_.get("/messages?q=Not+for+max").text.partition("<ul")[2]
    assert "Not for max" not in max_.get("/messages/export.csv").text


@pytest.mark.parametrize("cursor", ["", "x", "e30", "bnVsbA", "%00", "W10" * 200])
def test_a_page_that_cannot_be_is_a_bad_request(max_: Visitor, cursor: str) -> None:
    assert max_.get(f"/messages?cursor={cursor}").status_code == 400


@pytest.mark.parametrize("text", ["Offer", "to:ben@example.org+offer", "status:bounced+offer", "subject:2026-117"])
def test_the_search_box_finds_a_message(max_: Visitor, text: str) -> None:
    page = max_.get(f"/messages?q={text}").text
    assert subjects(page) == ["Offer 2026-117"]
    assert "1 entry" in page


def test_the_search_is_in_the_address_and_stays_in_the_box_and_in_every_link(max_: Visitor) -> None:
    page = max_.get("/messages?q=to:example.net+invoice").text
    assert 'value="to:example.net invoice"' in page
    assert 'href="/messages?q=to:example.net+invoice+status:delivered"' in page
    (older,) = re.findall(r'rel="next" href="([^"]+)"', page)
    assert older.startswith("/messages?q=to:example.net+invoice&amp;cursor=")
    assert 'href="/messages/export.csv?q=to:example.net+invoice"' in page


def test_the_chosen_filters_are_named(max_: Visitor) -> None:
    page = max_.get("/messages?q=status:refused+after:30d").text
    assert re.findall(r'aria-current="true">([^<]+)</a>', page) == ["Refused by us", "30 days"]
    assert subjects(page) == ["Quarterly figures"]


def test_what_the_search_could_not_use_is_said_and_never_obeyed(max_: Visitor) -> None:
    page = max_.client.get("/messages", query_string={"q": "after:<script>alert(1)</script> zz%s:%(part)s"}).text
    assert "“&lt;script&gt;alert(1)&lt;/script&gt;” is no date" in page
    assert "<script>alert" not in page


def test_every_problem_of_a_search_has_its_sentence() -> None:
    assert set(messages._PROBLEMS) == set(ProblemKind)
    for kind in ProblemKind:
        assert str(messages._PROBLEMS[kind]) % {"part": "x"} == kind.value.format(part="x")


def test_a_search_that_finds_nothing_says_what_to_try(max_: Visitor) -> None:
    page = max_.get("/messages?q=no-such-thing").text
    assert "Nothing found" in page
    assert 'href="/messages"' in page


@pytest.mark.parametrize("text", ["%00", "'%22%5C%25_;--", "%F0%9F%92%A9", "a" * 5000, "status:", '"'])
def test_nothing_that_is_typed_breaks_the_search(max_: Visitor, text: str) -> None:
    assert max_.get(f"/messages?q={text}").status_code == 200


def test_an_account_without_messages_is_told_how_to_begin(eva: Visitor) -> None:
    page = eva.get("/messages").text
    assert "No message yet" in page
    assert 'href="/account/credentials"' in page


def test_hostile_text_is_shown_and_never_obeyed(max_: Visitor) -> None:
    page = max_.get("/messages").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[31m" in page
    assert not re.search("<script>|<img src=x|[\x1b\u202e]", page)


# --- live -----------------------------------------------------------------------------------------------------------


def test_a_shown_list_asks_only_about_what_may_still_change(max_: Visitor) -> None:
    page = max_.get("/messages").text
    (address,) = re.findall(r'hx-get="(/messages/live[^"]+)"', page)
    assert str(OFFER_ID) in address
    assert str(UNKNOWN_ID) not in address


def test_an_old_page_whose_states_are_final_asks_nothing(max_: Visitor) -> None:
    page = max_.get("/messages").text
    (older,) = re.findall(r'rel="next" href="([^"]+)"', page)
    assert "hx-get" not in max_.get(older.replace("&amp;", "&")).text


def test_the_live_part_brings_the_states_of_ones_own_messages_only(max_: Visitor) -> None:
    part = max_.get(f"/messages/live?id={OFFER_ID}&id={FOREIGN_ID}&id={uuid.UUID(int=1)}").text
    assert f'id="states-{OFFER_ID}" hx-swap-oob="true"' in part
    assert str(FOREIGN_ID) not in part
    assert "<html" not in part


@pytest.mark.parametrize("query", ["id=x", "newest=x", "newest=2026-11-22T13:03:05"])
def test_a_damaged_question_is_a_bad_request(max_: Visitor, query: str) -> None:
    assert max_.get(f"/messages/live?{query}").status_code == 400


def test_newer_mail_is_announced_where_it_would_stand(max_: Visitor) -> None:
    earlier = (SENT_AT - dt.timedelta(days=2)).isoformat().replace("+", "%2B")
    later = (SENT_AT + dt.timedelta(days=2)).isoformat().replace("+", "%2B")
    assert "There is newer mail" in max_.get(f"/messages/live?newest={earlier}").text
    assert "There is newer mail" not in max_.get(f"/messages/live?newest={later}").text
    assert "There is newer mail" not in max_.get(f"/messages/live?newest={earlier}&q=no-such-thing").text


def test_the_states_of_a_shown_list_follow_the_record(tmp_path: Path) -> None:
    file = sample_site.prepare(tmp_path)
    app = create_app(file, now=lambda: SENT_AT + dt.timedelta(minutes=40))
    database = sample_site.database_of(file)
    visitor = Visitor(app.test_client())
    with database.writing() as session:
        account_id = session.scalars(select(Message.account_id).where(Message.id == OFFER_ID)).one()
        token = sessions.begin(
            session, account_id, client_address="", user_agent="", now=SENT_AT + dt.timedelta(minutes=39)
        )
    with visitor.client.session_transaction() as cookie:
        cookie["session"] = token
    assert "hx-get" in visitor.get(f"/messages/live?id={OFFER_ID}").text
    with database.writing() as session:
        own = select(QueueFile.id).where(QueueFile.message_id == OFFER_ID)
        session.execute(
            update(Recipient).where(Recipient.queue_file_id.in_(own)).values(state=RecipientState.DELIVERED)
        )
    database.close()
    part = visitor.get(f"/messages/live?id={OFFER_ID}").text
    assert "DEFERRED" not in part
    assert "ACCEPTED" in part
    assert "hx-get" not in part  # and the page stops asking


def test_a_list_that_is_left_open_does_not_keep_its_session_alive(tmp_path: Path) -> None:
    file = sample_site.prepare(tmp_path)
    at = SENT_AT
    app = create_app(file, now=lambda: at)
    visitor = Visitor(app.test_client())
    assert visitor.sign_in("max").status_code == 303
    answers = []
    for _ in range(5):
        at += sessions.IDLE / 3
        answers.append(visitor.client.get("/messages/live", headers={"HX-Request": "true"}).status_code)
    assert answers == [200, 200, 200, 401, 401]


# --- export ---------------------------------------------------------------------------------------------------------


def test_what_was_found_can_be_taken_along_as_a_table(max_: Visitor) -> None:
    answer = max_.get("/messages/export.csv?q=subject:offer")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="messages-2026-11-22.csv"'
    assert answer.content_type == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    assert [row["Recipient"] for row in rows] == [
        "anna@example.net",
        "ben@example.org",
        "carl@example.com",
        "dora@example.edu",
    ]


def test_what_was_found_can_be_taken_along_as_json(max_: Visitor) -> None:
    answer = max_.get("/messages/export.json")
    read = json.loads(answer.text)
    assert read["truncated"] is False
    assert len(read["messages"]) == 65
    assert "\x1b" not in answer.text


def test_there_are_no_other_kinds_of_export(max_: Visitor) -> None:
    assert max_.get("/messages/export.xml").status_code == 404


@pytest.mark.parametrize("path", ["/messages", "/messages/live", "/messages/export.csv"])
def test_a_stranger_is_asked_to_sign_in(stranger: Visitor, path: str) -> None:
    answer = stranger.get(path)
    assert answer.status_code == 303
    assert answer.location.startswith("/sign-in?next=")


def test_a_list_whose_session_has_ended_leaves_for_the_sign_in_page_and_comes_back_to_the_whole_list(
    stranger: Visitor,
) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": "http://localhost/messages?q=offer"}
    answer = stranger.client.get("/messages/live", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["HX-Redirect"] == "/sign-in?next=/messages?q%3Doffer"


def test_a_refused_sign_in_is_called_so(site: OwnSite) -> None:
    account_id = site.account("max").id
    with site.database.writing() as session:
        session.add(
            Refusal(
                account_id=account_id, login="max", refused_at=site.now, host="edge1", queue_id=None,
                envelope_sender="", recipients=[], subject=None, reason="sign-in",
                reply="535 5.7.8 Error: authentication failed", source="sign-in",
            )
        )  # fmt: skip
        sample_record.derive_all(session)
    max_ = site.visitor("max")
    for path in ("/messages", "/account"):
        page = max_.get(path).text
        assert "A sign-in was refused" in page
        assert "(no subject)" not in page
    assert max_.get("/messages").text.count("Not sent, not charged.") == 1  # of the sample's refused message


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ({"suspended_at": SENT_AT, "suspended_reason": "unpaid"}, "Your account is suspended"),
        ({"test_mode": True}, "Test mode is on"),
    ],
)
def test_who_cannot_send_reads_so_above_the_list(site: OwnSite, state: dict[str, object], sentence: str) -> None:
    visitor = site.visitor("eva")
    assert sentence not in visitor.get("/messages").text
    with site.database.writing() as session:
        session.execute(update(Account).where(Account.login == "eva").values(**state))
    assert sentence in visitor.get("/messages").text
