"""What the checks look at."""

import os
from pathlib import Path

import pytest

from sendproof_postfix.doctor import CannotLook
from sendproof_postfix.doctor_subject import MailWanted, account, owner_and_mode, user_may
from sendproof_testing import doctor_subjects


def test_settings_of_other_components_are_read_as_they_stand_in_the_file(tmp_path: Path) -> None:
    subject = doctor_subjects.subject(tmp_path, '[logparser]\nmaillogs = ["/a", "/b"]\n[milter]\nsocket = "/c"\n')
    assert subject.has("milter")
    assert not subject.has("web")
    assert subject.paths("logparser", "maillogs") == (Path("/a"), Path("/b"))
    assert subject.paths("milter", "socket") == (Path("/c"),)
    assert subject.paths("web", "journal") == ()
    assert subject.text("milter", "journal", "none") == "none"


def test_a_database_that_is_away_or_old_is_nothing_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(CannotLook, match="database upgrade"):
        _ = doctor_subjects.subject(tmp_path).database


def test_no_postfix_is_said_with_its_folder(tmp_path: Path) -> None:
    with pytest.raises(CannotLook, match=f"no {tmp_path}/postfix/main.cf"):
        _ = doctor_subjects.subject(tmp_path).postfix


@pytest.mark.skipif(os.geteuid() != 0, reason="asks in the name of other users")
def test_the_kernel_says_what_a_user_may_read() -> None:
    with doctor_subjects.public_folder() as folder:
        path = folder / "file"
        path.write_text("")
        path.chmod(0o640)
        assert user_may("nobody", "r", path) is False
        path.chmod(0o644)
        assert user_may("nobody", "r", path) is True
        assert user_may("nobody", "w", path) is False
        assert user_may("no-such-user", "r", path) is None
        assert owner_and_mode(path) == "root:root 0644"
    assert account("no-such-user") is None


def test_a_password_is_not_shown_with_what_was_wanted() -> None:
    assert "hidden" not in repr(MailWanted(login="max", password="hidden"))
