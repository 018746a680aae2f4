import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_core.errors import UserError
from sendproof_postfix.files import Attributes
from sendproof_postfix.state import Original, State, StateFolder, digest
from sendproof_postfix.steps import SetMain, SetOption, SetService

CONFIG = Path("/etc/postfix")
STATE = State(
    config_directory=CONFIG,
    steps=(SetMain("a", None, "\udcff"), SetService("b/unix", "old", "new"), SetOption("c/inet", "d", None, "e")),
    originals={
        "main.cf": Original(digest(b"\xff"), Attributes(0o640, 0, 0, 5), frozenset({"1", "2"})),
        "sendproof-split": Original(None, None, frozenset()),
    },
    sasl_socket=Path("/queue/private/auth"),
    dovecot_config=Path("/etc/sendproof/dovecot.conf"),
)
CONTENTS: dict[str, bytes | None] = {"main.cf": b"\xff", "sendproof-split": None}


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    made = StateFolder(tmp_path / "state")
    with made.locked():
        made.save(STATE, CONTENTS)
    return made


def test_a_state_is_read_as_it_was_kept(folder: StateFolder) -> None:
    assert folder.load(CONFIG) == STATE
    assert folder.original(CONFIG, "main.cf", STATE.originals["main.cf"]) == b"\xff"
    assert folder.original(CONFIG, "sendproof-split", STATE.originals["sendproof-split"]) is None


def test_a_state_of_an_older_version_is_read(folder: StateFolder) -> None:
    path = folder.of(CONFIG) / "state.json"
    older = json.loads(path.read_text())
    del older["dovecot_config"]
    path.write_text(json.dumps(older))
    assert folder.load(CONFIG) == replace(STATE, dovecot_config=None)


@pytest.mark.usefixtures("folder")
def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    modes = {path.name: path.stat().st_mode & 0o077 for path in (tmp_path / "state").rglob("*")}
    assert set(modes.values()) == {0}
    assert (tmp_path / "state").stat().st_mode & 0o077 == 0


def test_a_newer_state_takes_the_olders_place(folder: StateFolder, tmp_path: Path) -> None:
    original = Original(digest(b"new"), None, frozenset())
    folder.save(replace(STATE, originals={"main.cf": original}), {"main.cf": b"new"})
    assert folder.original(CONFIG, "main.cf", original) == b"new"
    assert len(list((tmp_path / "state" / "etc-postfix").iterdir())) == 2


def test_after_forgetting_there_is_no_folder(folder: StateFolder, tmp_path: Path) -> None:
    with folder.locked():
        folder.forget(CONFIG)
    assert list(tmp_path.iterdir()) == []


def test_two_do_not_work_at_once(folder: StateFolder) -> None:
    with folder.locked(), pytest.raises(UserError, match="at work"), folder.locked():
        pass


def test_what_another_user_could_have_written_is_not_believed(folder: StateFolder, tmp_path: Path) -> None:
    for path in ("state", "state/etc-postfix", "state/etc-postfix/state.json"):
        os.chown(tmp_path / path, 65534, 65534)
        with pytest.raises(UserError, match="must belong to root"):
            folder.load(CONFIG)
        os.chown(tmp_path / path, 0, 0)
    (tmp_path / "state" / "etc-postfix").chmod(0o777)
    with pytest.raises(UserError, match="must belong to root"):
        folder.load(CONFIG)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 2}'])
def test_a_damaged_state_is_said_with_its_name(folder: StateFolder, tmp_path: Path, text: str) -> None:
    path = tmp_path / "state" / "etc-postfix" / "state.json"
    path.write_text(text)
    with pytest.raises(UserError, match=str(path)):
        folder.load(CONFIG)


def test_an_original_that_was_changed_is_not_put_back(folder: StateFolder, tmp_path: Path) -> None:
    saved = next(path for path in (tmp_path / "state" / "etc-postfix").iterdir() if path.name.startswith("main"))
    saved.write_bytes(b"other")
    with pytest.raises(UserError, match="damaged or gone"):
        folder.original(CONFIG, "main.cf", STATE.originals["main.cf"])


@given(first=st.text(alphabet="a-/%2D", max_size=6), second=st.text(alphabet="a-/%2D", max_size=6))
def test_each_instance_has_its_own_folder(first: str, second: str) -> None:
    one, two = Path("/e") / first.lstrip("/"), Path("/e") / second.lstrip("/")
    names = [StateFolder(Path("/s")).of(path) for path in (one, two)]
    assert (names[0] == names[1]) is (one == two)
    assert all(name.parent == Path("/s") for name in names)
