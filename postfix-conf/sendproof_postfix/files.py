"""Replace several files so that each is the old one or the new one at every moment. Knows nothing of Postfix."""

import contextlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sendproof_core.errors import UserError

_NEW = ".sendproof-new"


@dataclass(frozen=True)
class Attributes:
    """What a file has beside its content."""

    mode: int
    uid: int
    gid: int
    mtime_ns: int | None = None


@dataclass(frozen=True)
class Target:
    """A file as it shall be. ``content`` None: away with it. ``attributes`` None: those it has, or 0644 of root."""

    path: Path
    content: bytes | None
    attributes: Attributes | None = None


def content(path: Path) -> bytes | None:
    """A file's octets; None: there is none.

    Raises:
        UserError: it is no file of its own, or cannot be read.
    """
    try:
        if path.is_symlink():
            raise UserError(f"{path} is a symbolic link to {path.readlink()}: put the file itself there.")
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error


def attributes(path: Path) -> Attributes:
    """Mode, owner and time of a file."""
    found = path.stat()
    return Attributes(found.st_mode & 0o7777, found.st_uid, found.st_gid, found.st_mtime_ns)


def replace(targets: Sequence[Target]) -> None:
    """Put every target in place, in this order.

    All are written and forced to disk beside their places before the first is moved. When a move fails, the files that
    were moved come back.

    Raises:
        UserError: something cannot be written; then nothing has changed.
    """
    saved: list[Target] = []
    try:
        for target in targets:
            _stage(target)
        for target in targets:
            before = _as_it_is(target.path)
            _move(target)
            saved.append(before)
    except OSError as error:
        for target in targets:
            with contextlib.suppress(OSError):
                staged(target.path).unlink()
        for before in reversed(saved):
            _stage(before)
            _move(before)
        name = error.filename or targets[0].path
        raise UserError(f"{name} cannot be written: {error.strerror}. Nothing was changed.") from error


def staged(path: Path) -> Path:
    """Where the new content of a file waits for its move."""
    return path.with_name(path.name + _NEW)


def write(path: Path, text: bytes, mode: int) -> None:
    """Write one small file of our own, whole or not at all, and on disk when this returns."""
    new = staged(path)
    _write(new, text, mode)
    new.replace(path)
    _sync(path.parent)


def _as_it_is(path: Path) -> Target:
    try:
        return Target(path, path.read_bytes(), attributes(path))
    except FileNotFoundError:
        return Target(path, None)


def _stage(target: Target) -> None:
    if target.content is None:
        return
    if target.path.exists():
        # As a file that an immutable flag or a read-only mount protects refuses to be opened, it would refuse its move.
        os.close(os.open(target.path, os.O_RDWR | os.O_NOFOLLOW))
    new = staged(target.path)
    _write(new, target.content, 0o600)
    has = target.attributes or (attributes(target.path) if target.path.exists() else Attributes(0o644, 0, 0))
    if target.path.exists():
        shutil.copystat(target.path, new)  # access lists, too
    os.chown(new, has.uid, has.gid)
    new.chmod(has.mode)
    if target.attributes and target.attributes.mtime_ns is not None:
        os.utime(new, ns=(target.attributes.mtime_ns, target.attributes.mtime_ns))
    elif target.path.exists():
        os.utime(new)


def _move(target: Target) -> None:
    if target.content is None:
        target.path.unlink(missing_ok=True)
    else:
        staged(target.path).replace(target.path)
    _sync(target.path.parent)


def _write(path: Path, text: bytes, mode: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(handle)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
