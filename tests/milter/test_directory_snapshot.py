import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sendproof_core.errors import UserError
from sendproof_milter.directory_snapshot import DirectorySnapshot, Document, SnapshotUnusable, check_folder

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@pytest.fixture
def snapshot(tmp_path: Path) -> DirectorySnapshot:
    return DirectorySnapshot(tmp_path / "a folder? #1.snapshot")


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.dictionaries(st.text(max_size=5), _JSON)))
def test_what_is_written_is_found_and_nothing_else(snapshot: DirectorySnapshot, documents: dict[str, Document]) -> None:
    assert snapshot.write(documents.items()) == len(documents)
    assert {name: snapshot.find(name) for name in documents} == documents
    assert snapshot.find("login of nobody") is None


def test_each_snapshot_takes_the_place_of_the_one_before(snapshot: DirectorySnapshot) -> None:
    snapshot.write([("a", {"number": 1}), ("b", {"number": 2})])
    snapshot.write([("b", {"number": 3})])
    assert (snapshot.find("a"), snapshot.find("b")) == (None, {"number": 3})


def test_a_directory_without_anybody_is_a_snapshot_too(snapshot: DirectorySnapshot) -> None:
    assert snapshot.write([]) == 0
    assert snapshot.find("a") is None


def test_nobody_else_can_read_it(snapshot: DirectorySnapshot, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        snapshot.write([("a", {})])
    finally:
        os.umask(before)
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_snapshot_that_cannot_be_finished_leaves_the_old_one(snapshot: DirectorySnapshot) -> None:
    def broken() -> Iterator[tuple[str, Document]]:
        yield "a", {"number": 2}
        raise ConnectionError("the database went away")

    snapshot.write([("a", {"number": 1})])
    with pytest.raises(ConnectionError):
        snapshot.write(broken())
    assert snapshot.find("a") == {"number": 1}
    snapshot.write([("a", {"number": 3})])  # what was left behind is in nobody's way
    assert snapshot.find("a") == {"number": 3}


def test_one_name_is_one_document(snapshot: DirectorySnapshot) -> None:
    with pytest.raises(OSError, match="UNIQUE"):
        snapshot.write([("a", {}), ("a", {})])


def test_where_it_cannot_be_written_is_an_error_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        DirectorySnapshot(tmp_path / "missing" / "snapshot").write([])


def test_a_reader_in_the_middle_of_a_change_sees_the_old_or_the_new_one(snapshot: DirectorySnapshot) -> None:
    snapshot.write([("a", {"number": 0})])
    seen = []

    def documents() -> Iterator[tuple[str, Document]]:
        for number in range(3):
            seen.append(snapshot.find("a"))
            yield f"another {number}", {}

    snapshot.write(documents())
    assert seen == [{"number": 0}] * 3
    assert snapshot.find("a") is None


@pytest.mark.parametrize("content", [None, b"", b"no database", b"SQLite format 3\0" + b"\xff" * 4000])
def test_where_there_is_none_nobody_is_unknown(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "snapshot"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SnapshotUnusable):
        DirectorySnapshot(path).find("a")
    assert path.exists() == (content is not None)  # looking makes none


def test_a_place_for_it_is_checked_before_anything_starts(tmp_path: Path) -> None:
    check_folder(tmp_path / "snapshot")
    with pytest.raises(UserError, match="must be a file"):
        check_folder(tmp_path)
    with pytest.raises(UserError, match="does not exist or is not writable"):
        check_folder(tmp_path / "missing" / "snapshot")


# Root could replace a device by a file.
def test_a_device_is_no_place_for_a_snapshot() -> None:
    with pytest.raises(UserError, match="must be a file"):
        check_folder(Path("/dev/null"))
