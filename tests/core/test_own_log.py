import logging
from collections.abc import Iterator

import pytest

from sendproof_core import own_log


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def test_an_event_is_one_line_with_the_program_and_its_pid(capsys: pytest.CaptureFixture[str]) -> None:
    own_log.configure("sendproof-milter")
    logging.getLogger("x").info("queue_id=%s event=started", "4Z")
    (line,) = capsys.readouterr().err.splitlines()
    assert " sendproof-milter[" in line
    assert line.endswith(" INFO queue_id=4Z event=started")


def test_text_from_outside_cannot_begin_a_line_or_steer_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    own_log.configure("sendproof-milter")
    logging.getLogger("x").error("sender=%s", "a\nqueue_id=forged\r\x1b[31m\x9b\u2028\udcff")
    text = capsys.readouterr().err
    assert len(text.splitlines()) == 1
    assert text.removesuffix("\n").isprintable()
    assert "\\x1b[31m\\x9b" in text


def test_a_traceback_is_one_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    own_log.configure("sendproof-milter")
    try:
        int("bug")
    except ValueError:
        logging.getLogger("x").exception("event=message-failed")
    text = capsys.readouterr().err
    assert len(text.splitlines()) == 1
    assert "ValueError: invalid literal" in text
