from collections.abc import Callable

import pytest

from sendproof_core.commands_context import show_table
from sendproof_core.errors import UserError

Command = Callable[..., str]


@pytest.mark.parametrize(
    ("given", "said"), [(b"", "no password came"), (b"\n", "no password came"), (b"\xff\n", "UTF-8")]
)
def test_a_password_that_cannot_be_one_is_refused(ready: Command, given: bytes, said: str) -> None:
    with pytest.raises(UserError, match=said):
        ready("account", "add", "eva", "--plan", "personal", "--password-stdin", given=given)


def test_columns_stand_under_their_heads_in_any_script(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("NAME", "N", "TEXT"), [("ab", "1", "x"), ("日本語", "22", "y"), ("e\u0301", "3", "")])
    assert capsys.readouterr().out.splitlines() == [
        "NAME    N   TEXT",
        "ab      1   x",
        "日本語  22  y",
        "e\u0301       3",
    ]
