"""What the table ``[notices]`` accepts, and that no error shows a password."""

from pathlib import Path

import pytest

from sendproof_core.errors import UserError
from sendproof_core.settings import load
from sendproof_notices.settings import NoticesSettings, read_password


def table(folder: Path, **changes: object) -> NoticesSettings:
    values = {
        "smtp_host": "mail.relay.example",
        "login": "notices",
        "password_file": "/etc/sendproof/secrets/notices.password",
        "from_address": "notices@relay.example",
    }
    path = folder / "sendproof.toml"
    lines = [f"{key} = {value!r}\n" for key, value in (values | changes).items()]
    path.write_text("[notices]\n" + "".join(lines), encoding="utf-8")
    return load(path).table(NoticesSettings)


def test_four_settings_are_enough(tmp_path: Path) -> None:
    settings = table(tmp_path)
    assert (settings.smtp_port, settings.poll_seconds, settings.ca_file) == (587, 10.0, None)
    assert (settings.from_name, settings.lease.total_seconds()) == ("Sendproof", 60)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("from_address", "notices"),
        ("from_address", "a@b, c@d"),
        ("login", "jörg"),
        ("login", ""),
        ("smtp_port", 0),
        ("lease_seconds", 0),
    ],
)
def test_a_setting_that_could_never_work_is_named(tmp_path: Path, key: str, value: object) -> None:
    with pytest.raises(UserError, match=key):
        table(tmp_path, **{key: value})


@pytest.mark.parametrize("line_end", [b"", b"\n", b"\r\n"])
def test_the_password_is_the_line_in_the_file(tmp_path: Path, line_end: bytes) -> None:
    path = tmp_path / "password"
    path.write_bytes(b" with blanks " + line_end)
    assert read_password(path) == " with blanks "


@pytest.mark.parametrize("content", [b"", b"\n", b"secret\nsecond\n", b"secr\xc3\xa9t\n", b"sec\0ret\n"])
def test_an_unusable_password_file_is_named_and_not_quoted(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "password"
    path.write_bytes(content)
    with pytest.raises(UserError, match="password_file") as caught:
        read_password(path)
    assert "sec" not in str(caught.value)


def test_a_missing_password_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        read_password(tmp_path / "missing")
