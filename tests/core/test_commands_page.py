from collections.abc import Callable
from pathlib import Path

import pytest

from sendproof_core.errors import UserError

Command = Callable[..., str]


def test_a_page_is_made_shown_changed_and_deleted(ready: Command, tmp_path: Path) -> None:
    text = tmp_path / "help.md"
    text.write_text("# Hülfe\r\n\ntext \x1b[31m\n", encoding="utf-8")
    assert ready("page", "set", "help", "--title", "Help", "--position", "2", "--file", str(text)) == (
        "the page is at /pages/help\n"
    )
    assert ready("page", "show", "help") == "# Hülfe\n\ntext \\x1b[31m\n"
    ready("page", "set", "help", "--position", "none")
    line = ready("page", "list").splitlines()[1].split()
    assert (line[0], line[1], line[-1]) == ("help", "none", "Help")
    assert ready("page", "show", "help").startswith("# Hülfe")
    assert ready("page", "delete", "help") == "deleted page help\n"
    assert "no page yet" in ready("page", "list")
    assert ready("audit", "list", "--event", "page").count("command") == 3


def test_a_page_can_come_from_standard_input(ready: Command) -> None:
    ready("page", "set", "a", "--title", "A", "--file", "-", given=b"from outside\n")
    assert ready("page", "show", "a") == "from outside\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("set", "new"), "needs a --title"),
        (("set", "new", "--title", "x", "--position", "first"), "whole number or 'none'"),
        (("set", "UPPER", "--title", "x"), "cannot be in an address"),
        (("show", "nothing"), "no page 'nothing'"),
        (("delete", "nothing"), "no page 'nothing'"),
    ],
)
def test_what_cannot_be_is_said(ready: Command, arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        ready("page", *arguments)


def test_text_that_is_no_utf_8_is_refused(ready: Command) -> None:
    with pytest.raises(UserError, match="not UTF-8"):
        ready("page", "set", "a", "--title", "A", "--file", "-", given=b"\xff")


def test_pages_to_begin_with_are_made_once(ready: Command) -> None:
    assert ready("page", "defaults") == "made plans, help, contact; read and change them\n"
    assert ready("page", "defaults") == "they are there already\n"
