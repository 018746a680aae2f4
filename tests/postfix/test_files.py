import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sendproof_core.errors import UserError
from sendproof_postfix import files
from sendproof_postfix.files import Attributes, Target


def snapshot(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mode, path.stat().st_mtime_ns) for path in folder.iterdir()}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_files_are_replaced_made_and_taken_away(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "a").chmod(0o640)
    (tmp_path / "gone").write_bytes(b"x")
    files.replace(
        [
            Target(tmp_path / "a", b"new"),
            Target(tmp_path / "b", b"made", Attributes(0o600, os.getuid(), os.getgid(), 1_000_000_001)),
            Target(tmp_path / "gone", None),
        ]
    )
    found = snapshot(tmp_path)
    assert {name: (content, mode & 0o777) for name, (content, mode, _) in found.items()} == {
        "a": (b"new", 0o640),
        "b": (b"made", 0o600),
    }
    assert found["b"][2] == 1_000_000_001


def test_a_full_disk_changes_nothing_and_leaves_nothing(small_disk: Path) -> None:
    (small_disk / "a").write_bytes(b"old")
    before = snapshot(small_disk)
    with pytest.raises(UserError, match=r"b.*No space left"):
        files.replace([Target(small_disk / "a", b"new"), Target(small_disk / "b", b"x" * 200_000)])
    assert snapshot(small_disk) == before


def test_a_disk_that_is_read_only_is_said(small_disk: Path) -> None:
    (small_disk / "a").write_bytes(b"old")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(UserError, match=r"a.* cannot be written: Read-only"):
        files.replace([Target(small_disk / "a", b"new")])
    assert (small_disk / "a").read_bytes() == b"old"


def test_when_the_last_move_fails_the_first_is_taken_back(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inside").write_bytes(b"")
    before = (tmp_path / "a").stat()
    with pytest.raises(UserError, match="Nothing was changed"):
        # A folder cannot be taken away as if it were a file.
        files.replace([Target(tmp_path / "a", b"new"), Target(tmp_path / "folder", None)])
    assert (tmp_path / "a").read_bytes() == b"old"
    assert (tmp_path / "a").stat().st_mtime_ns == before.st_mtime_ns
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "folder"]


def test_an_immutable_file_is_found_out_before_anything_moves(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"1")
    second.write_bytes(b"2")
    if subprocess.run(["chattr", "+i", second], capture_output=True, check=False).returncode:
        pytest.skip("this file system knows no immutable files")
    try:
        with pytest.raises(UserError, match=r"second.*not permitted"):
            files.replace([Target(first, b"new"), Target(second, b"new")])
    finally:
        subprocess.run(["chattr", "-i", second], check=True)
    assert (first.read_bytes(), second.read_bytes()) == (b"1", b"2")


def test_a_link_is_refused_with_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "main.cf").symlink_to("elsewhere/main.cf")
    with pytest.raises(UserError, match=r"main\.cf is a symbolic link to elsewhere/main\.cf"):
        files.content(tmp_path / "main.cf")
    assert files.content(tmp_path / "none") is None


def test_what_a_killed_run_left_is_no_hindrance(tmp_path: Path) -> None:
    files.staged(tmp_path / "a").write_bytes(b"half")
    files.replace([Target(tmp_path / "a", b"whole")])
    files.write(tmp_path / "b", b"text", 0o600)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"whole", "b": b"text"}
