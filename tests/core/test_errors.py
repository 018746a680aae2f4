import pytest

from sendproof_core.errors import UserError, guarded


def test_what_a_person_can_mend_ends_in_one_sentence_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        raise UserError("the file is missing; make it first.")

    with pytest.raises(SystemExit) as ended:
        guarded(command)
    assert ended.value.code == 2
    assert capsys.readouterr() == ("", "sendproof: the file is missing; make it first.\n")


def test_a_bug_of_ours_keeps_its_traceback() -> None:
    def command() -> None:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        guarded(command)


def test_a_command_that_does_its_work_just_ends(capsys: pytest.CaptureFixture[str]) -> None:
    guarded(lambda: None)
    assert capsys.readouterr() == ("", "")
