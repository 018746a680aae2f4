"""Whether the disks that mail and its record need have room: octets and inodes. Counts nothing itself."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sendproof_core import wording
from sendproof_core.settings import DatabaseSettings
from sendproof_postfix.doctor import CannotLook, Finding, Verdicts
from sendproof_postfix.doctor_subject import Subject

_GIGABYTE = 10**9
# Shares of the whole, and octets below which a share is little.
_LITTLE, _LITTLE_OCTETS = 0.10, 10 * _GIGABYTE
_VERY_LITTLE, _VERY_LITTLE_OCTETS = 0.02, _GIGABYTE
_FEW_INODES, _VERY_FEW_INODES = 0.05, 0.01
# What Postfix takes by default (postconf(5)); it takes no mail with less free than one and a half messages.
_MESSAGE_OCTETS = 10_240_000
_QUEUE_SHARE = 1.5


@dataclass(frozen=True)
class Space:
    """A file system. ``needed_octets``: below that, mail is refused; ``inodes`` None: it has no such limit."""

    total_octets: int
    free_octets: int
    inodes: int | None
    free_inodes: int
    needed_octets: int = 0


def look(subject: Subject, verdicts: Verdicts) -> Iterator[Finding]:
    """Each file system once, by what is on it."""
    devices: dict[int, tuple[Path, list[str]]] = {}
    needed = 0
    for what, path in _places(subject):
        there = _existing(path)
        devices.setdefault(there.stat().st_dev, (there, []))[1].append(what)
    for path, on_it in devices.values():
        if "the queue" in on_it:
            needed = _needed_for_mail(subject)
        words = ", ".join(dict.fromkeys(on_it))
        yield judge(path, words, _space(path, needed if "the queue" in on_it else 0), verdicts)


def _places(subject: Subject) -> Iterator[tuple[str, Path]]:
    try:
        yield "the queue", subject.postfix.queue_directory
        if log := subject.postfix.value("maillog_file"):
            yield "the mail log", Path(log)
    except CannotLook:  # the checks of Postfix say so
        pass
    url = subject.file.table(DatabaseSettings).url
    if url.startswith("sqlite:///"):
        yield "the database", Path(url.removeprefix("sqlite:///"))
    for what, table, key in (
        ("the milter's journal", "milter", "journal"),
        ("the snapshot", "milter", "snapshot"),
        ("the site's journal", "web", "journal"),
        ("the mail log", "logparser", "maillogs"),
    ):
        for path in subject.paths(table, key):
            yield what, path


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above that is there."""
    return next(place for place in (path, *path.absolute().parents) if place.exists())


def _needed_for_mail(subject: Subject) -> int:
    values = [subject.postfix.value(name) for name in ("queue_minfree", "message_size_limit")]
    least, largest = (int(value) if value.isdigit() else 0 for value in values)
    return max(least, int(_QUEUE_SHARE * (largest or _MESSAGE_OCTETS)))


def _space(path: Path, needed_octets: int) -> Space:
    found = os.statvfs(path)
    return Space(
        total_octets=found.f_blocks * found.f_frsize,
        free_octets=found.f_bavail * found.f_frsize,
        inodes=found.f_files or None,
        free_inodes=found.f_favail,
        needed_octets=needed_octets,
    )


def _size(octets: int) -> str:
    return f"{octets / _GIGABYTE:.1f} GB" if octets >= _GIGABYTE else wording.size(octets)


def judge(path: Path, on_it: str, space: Space, verdicts: Verdicts) -> Finding:
    """Whether there is room. ``on_it``: what would stop."""
    share = space.free_octets / max(space.total_octets, 1)
    inode_share = space.free_inodes / space.inodes if space.inodes else 1.0
    room = f"the disk of {on_it} ({path}) has {_size(space.free_octets)} free"
    remedy = "Make room, or a larger disk. `sendproof database maintain` drops what is past its time."
    if space.free_octets < space.needed_octets:
        needed = _size(space.needed_octets)
        return verdicts.error(f"{room}; Postfix takes no mail with less than {needed}.", remedy)
    if share < _VERY_LITTLE and space.free_octets < _VERY_LITTLE_OCTETS:
        return verdicts.error(f"{room}, {share:.0%} of it.", remedy)
    if inode_share < _VERY_FEW_INODES:
        return verdicts.error(f"the disk of {on_it} ({path}) has hardly an inode left: {space.free_inodes:,}.", remedy)
    if share < _LITTLE and space.free_octets < _LITTLE_OCTETS:
        return verdicts.warning(f"{room}, {share:.0%} of it.", remedy)
    if inode_share < _FEW_INODES:
        return verdicts.warning(f"the disk of {on_it} ({path}) has few inodes left: {space.free_inodes:,}.", remedy)
    return verdicts.ok(f"{room}.")
