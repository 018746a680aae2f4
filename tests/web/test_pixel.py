import datetime as dt
import statistics
import time
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import Engine, event

from sendproof_core import journal_records, tokens
from sendproof_core.journal_records import Opened
from sendproof_core.tokens import Purpose, Token
from sendproof_testing import sample_record
from sendproof_testing.sample_record import OFFER_ID
from sendproof_testing.visitor import Visitor
from sendproof_web import services
from sendproof_web.pixel import GIF

NOW = sample_record.SENT_AT + dt.timedelta(minutes=40)


@pytest.fixture(autouse=True)
def _unlimited(app: Flask) -> None:
    """Each test begins a minute of its own: the clock stands still."""
    with app.app_context():
        limit = services.services().open_limit
    limit.admits(OFFER_ID, 0, NOW + dt.timedelta(minutes=1))  # another minute: the counts begin anew
    limit.left_out()


def token(
    app: Flask,
    *,
    purpose: Purpose = Purpose.PIXEL,
    lives: dt.timedelta = dt.timedelta(days=1),
    recipient_number: int = 2,
) -> str:
    with app.app_context():
        (number, key), *_ = services.services().token_keys.items()
    return tokens.make(Token(purpose, OFFER_ID, recipient_number, NOW + lives), number, key)


def forged(app: Flask) -> str:
    genuine = token(app)
    return genuine[:-1] + ("A" if genuine[-1] != "A" else "B")


def test_the_image_is_43_octets() -> None:
    assert len(GIF) == 43
    assert GIF.startswith(b"GIF89a\x01\x00\x01\x00")


def test_every_token_gets_the_same_answer(app: Flask, stranger: Visitor, journal: Path) -> None:
    expired = token(app, lives=dt.timedelta(days=-1))
    answers = [stranger.get(f"/o/{text}.gif") for text in (token(app), forged(app), expired, "x", "%00", "ü" * 56)]
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.data for answer in answers} == {GIF}
    assert len({str(sorted(answer.headers)) for answer in answers}) == 1
    assert len(journal.read_bytes().splitlines()) == 1


def test_the_answer_is_not_cached_and_carries_no_cookie(app: Flask, max_: Visitor, journal: Path) -> None:
    answer = max_.get(f"/o/{token(app)}.gif")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"] == "image/gif"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "Set-Cookie" not in answer.headers
    assert journal.exists()


def test_a_valid_token_leaves_one_line_in_the_journal(app: Flask, stranger: Visitor, journal: Path) -> None:
    stranger.client.get(f"/o/{token(app)}.gif", headers={"User-Agent": "Thunderbird\x9b" + "x" * 900})
    (line,) = journal.read_bytes().splitlines()
    record = journal_records.from_line(line)
    assert isinstance(record, Opened)
    assert (record.at, record.message_id, record.recipient_number, record.grade) == (NOW, OFFER_ID, 2, "person")


AGENTS = {
    "person": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.0",
    "proxy": "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
    "machine": "curl/8.5.0",
}


def opened(stranger: Visitor, journal: Path, text: str, user_agent: str) -> Opened:
    journal.unlink(missing_ok=True)
    stranger.client.get(f"/o/{text}.gif", headers={"User-Agent": user_agent}, environ_base={"REMOTE_ADDR": "192.0.2.9"})
    (line,) = journal.read_bytes().splitlines()
    record = journal_records.from_line(line)
    assert isinstance(record, Opened)
    return record


@pytest.mark.parametrize("grade", AGENTS)
def test_the_grade_is_kept_and_the_person_is_not(app: Flask, stranger: Visitor, journal: Path, grade: str) -> None:
    record = opened(stranger, journal, token(app), AGENTS[grade])
    assert (record.grade, record.client_address) == (grade, None)
    assert record.user_agent == ("" if grade == "person" else AGENTS[grade])  # a program is nobody
    assert b"192.0.2.9" not in journal.read_bytes()


@pytest.mark.parametrize("grade", AGENTS)
def test_an_account_may_keep_who_opened(app: Flask, stranger: Visitor, journal: Path, grade: str) -> None:
    record = opened(stranger, journal, token(app, purpose=Purpose.PIXEL_DETAILED), AGENTS[grade])
    assert (record.grade, record.user_agent, record.client_address) == (grade, AGENTS[grade], "192.0.2.9")


def test_no_user_agent_is_kept_longer_than_a_line_bears(app: Flask, stranger: Visitor, journal: Path) -> None:
    record = opened(stranger, journal, token(app, purpose=Purpose.PIXEL_DETAILED), "Thunderbird\x9b" + "x" * 900)
    assert len(record.user_agent) == 500


def test_no_token_of_another_purpose_is_an_open(app: Flask, stranger: Visitor, journal: Path) -> None:
    assert stranger.get(f"/o/{token(app, purpose=Purpose.TRACE)}.gif").data == GIF
    assert not journal.exists()


def test_a_flood_of_one_pixel_gets_its_image_and_few_lines(
    app: Flask, stranger: Visitor, journal: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text, other = token(app), token(app, recipient_number=3)
    answers = [stranger.get(f"/o/{text}.gif") for _ in range(40)]
    assert {answer.data for answer in answers} == {GIF}
    assert len(journal.read_bytes().splitlines()) == 10
    stranger.get(f"/o/{other}.gif")
    assert len(journal.read_bytes().splitlines()) == 11
    assert "opens-not-journalled count=30" in caplog.text


def test_the_database_is_not_asked(app: Flask, max_: Visitor, journal: Path) -> None:
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        asked.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        for text in (token(app), "x"):
            max_.get(f"/o/{text}.gif")
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert not asked
    assert journal.exists()


def test_an_answer_takes_less_than_five_milliseconds(app: Flask, stranger: Visitor, journal: Path) -> None:
    address = f"/o/{token(app)}.gif"
    stranger.get(address)
    taken = []
    for _ in range(200):
        began = time.perf_counter()
        stranger.get(address)
        taken.append(time.perf_counter() - began)
    assert statistics.median(taken) < 0.005  # the test's client included
    assert journal.exists()


def test_a_head_request_is_a_machines(app: Flask, stranger: Visitor, journal: Path) -> None:
    answer = stranger.client.head(f"/o/{token(app)}.gif", headers={"User-Agent": "Mozilla/5.0 Firefox/140.0"})
    assert (answer.status_code, answer.data) == (200, b"")
    record = journal_records.from_line(journal.read_bytes().splitlines()[0])
    assert isinstance(record, Opened)
    assert record.grade == "machine"


def test_the_image_comes_without_journal_and_database(
    app: Flask, stranger: Visitor, journal: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal.mkdir()  # no line can be written
    try:
        with app.app_context():
            services.services().database.close()
        assert stranger.get(f"/o/{token(app)}.gif").data == GIF
        assert "open_not_journalled" in caplog.text
    finally:
        journal.rmdir()


def test_an_accounts_picture_is_shown_instead_of_the_pixel(
    app: Flask, stranger: Visitor, journal: Path, images: Path
) -> None:
    (images / "logo.png").write_bytes(b"a picture")
    answer = stranger.get(f"/o/{token(app)}/logo.png")
    assert (answer.data, answer.headers["Content-Type"]) == (b"a picture", "image/png")
    assert answer.headers["Cache-Control"] == "no-store"
    assert stranger.get(f"/o/{forged(app)}/logo.png").data == b"a picture"
    assert len(journal.read_bytes().splitlines()) == 1


def test_only_pictures_of_the_folder_are_shown(app: Flask, stranger: Visitor, images: Path) -> None:
    (images / "notes.txt").write_bytes(b"secret")
    (images / ".hidden.png").write_bytes(b"secret")
    (images.parent / "outside.png").write_bytes(b"secret")
    (images / "folder.png").mkdir()
    for name in ("notes.txt", ".hidden.png", "..%2foutside.png", "folder.png", "missing.png", "%00.png", "logo.svg"):
        answer = stranger.get(f"/o/{token(app)}/{name}")
        assert b"secret" not in answer.data, name
        assert answer.status_code in {200, 404}, name
