"""What `apply` keeps on disk so that it can be repeated or taken back: the operator's files, and our steps.

One folder for each instance of Postfix. The files in it are written and forced to disk before Postfix's are touched;
its `state.json` is replaced whole. Decides nothing about Postfix.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sendproof_core.errors import UserError
from sendproof_postfix import files, steps
from sendproof_postfix.files import Attributes
from sendproof_postfix.steps import Step

_STATE, _LOCK, _WORK = "state.json", ".lock", "work-"
_FORMAT = 1


@dataclass(frozen=True)
class Original:
    """A file before us. ``digest`` None: there was none. ``versions``: digests of all that came from it by our hand."""

    digest: str | None
    attributes: Attributes | None
    versions: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class State:
    """What was applied to one instance."""

    config_directory: Path
    steps: tuple[Step, ...]
    originals: Mapping[str, Original]
    sasl_socket: Path | None = None
    # The file that was written for our Dovecot. None: none was, or by a version that did not keep its name.
    dovecot_config: Path | None = None
    # False: Postfix has not been told to read its files again.
    settled: bool = False


def digest(content: bytes | None) -> str:
    """How a content is named."""
    return "absent" if content is None else hashlib.sha256(content).hexdigest()


class StateFolder:
    """The states of all instances. Everything in it is root's alone."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def of(self, config_directory: Path) -> Path:
        """The folder of one instance, by its configuration directory: /etc/postfix-out is ``etc-postfix%2Dout``."""
        name = str(config_directory).strip("/").replace("%", "%25").replace("-", "%2D").replace("/", "-")
        return self._directory / (name or "-")

    @contextlib.contextmanager
    def locked(self) -> Iterator[Path]:
        """Work alone; gives a folder for passing files, which is gone afterwards.

        Raises:
            UserError: another apply or revert runs, or the folder cannot be made.
        """
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _must_be_ours(self._directory)
            lock = os.open(self._directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise UserError(f"the folder {self._directory} cannot be used: {error.strerror}.") from error
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError("another `sendproof postfix apply` or `revert` is at work; try again.") from None
            for left in self._directory.glob(f"{_WORK}*"):  # of one that was killed
                shutil.rmtree(left)
            try:
                with tempfile.TemporaryDirectory(dir=self._directory, prefix=_WORK) as work:
                    yield Path(work)
            finally:
                if not any(path.name != _LOCK for path in self._directory.iterdir()):
                    (self._directory / _LOCK).unlink()
                    self._directory.rmdir()
        finally:
            os.close(lock)

    def load(self, config_directory: Path) -> State | None:
        """What was applied; None: nothing.

        Raises:
            UserError: it cannot be read, or somebody else could have written it.
        """
        return self._read(self.of(config_directory) / _STATE)

    def others(self, config_directory: Path) -> list[State]:
        """The states of the other instances."""
        mine = self.of(config_directory)
        found = (self._read(path) for path in sorted(self._directory.glob(f"*/{_STATE}")) if path.parent != mine)
        return [one for one in found if one is not None]

    def _read(self, path: Path) -> State | None:
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}.") from error
        _must_be_ours(self._directory, path.parent, path)
        try:
            return _from_json(json.loads(text))
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path} is damaged ({error}); the files as they were are beside it, named by their content."
            ) from error

    def original(self, config_directory: Path, name: str, original: Original) -> bytes | None:
        """A file's octets as they were before us.

        Raises:
            UserError: they are not there any more.
        """
        if original.digest is None:
            return None
        path = self.of(config_directory) / _saved_name(name, original.digest)
        content = files.content(path)
        if digest(content) != original.digest:
            raise UserError(f"{path}, which holds {name} as it was, is damaged or gone; nothing was changed.")
        return content

    def save(self, state: State, contents: Mapping[str, bytes | None]) -> None:
        """Keep a state and the original files that it names; everything is on disk when this returns."""
        folder = self.of(state.config_directory)
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            needed = {_STATE}
            for name, original in state.originals.items():
                content = contents[name]
                if original.digest is not None and content is not None:
                    saved = _saved_name(name, original.digest)
                    needed.add(saved)
                    if files.content(folder / saved) != content:
                        files.write(folder / saved, content, 0o600)
            text = json.dumps(_to_json(state), indent=1)
            files.write(folder / _STATE, text.encode(), 0o600)
            for path in folder.iterdir():
                if path.name not in needed:
                    path.unlink()
        except OSError as error:
            raise UserError(f"{folder} cannot be written: {error.strerror}. Nothing was changed.") from error

    def forget(self, config_directory: Path) -> None:
        """Nothing is applied any more."""
        folder = self.of(config_directory)
        (folder / _STATE).unlink(missing_ok=True)
        if folder.exists():
            shutil.rmtree(folder)


def _saved_name(name: str, content_digest: str) -> str:
    return f"{name}.{content_digest[:16]}"


def _must_be_ours(*paths: Path) -> None:
    # Root will write into Postfix's configuration what stands there.
    for path in paths:
        found = path.lstat()
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise UserError(f"{path} must belong to root, and nobody else may write it.")


def _to_json(state: State) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "config_directory": str(state.config_directory),
        "sasl_socket": str(state.sasl_socket) if state.sasl_socket else None,
        "dovecot_config": str(state.dovecot_config) if state.dovecot_config else None,
        "settled": state.settled,
        "steps": [steps.to_json(step) for step in state.steps],
        "originals": {
            name: {
                "digest": one.digest,
                "attributes": dataclasses.asdict(one.attributes) if one.attributes else None,
                "versions": sorted(one.versions),
            }
            for name, one in state.originals.items()
        },
    }


def _from_json(value: dict[str, Any]) -> State:
    if value["format"] != _FORMAT:
        raise ValueError(f"format {value['format']!r} is none of ours")
    return State(
        config_directory=Path(value["config_directory"]),
        sasl_socket=Path(value["sasl_socket"]) if value["sasl_socket"] else None,
        dovecot_config=Path(value["dovecot_config"]) if value.get("dovecot_config") else None,
        settled=value["settled"],
        steps=tuple(steps.from_json(step) for step in value["steps"]),
        originals={
            name: Original(
                one["digest"],
                Attributes(**one["attributes"]) if one["attributes"] else None,
                frozenset(one["versions"]),
            )
            for name, one in value["originals"].items()
        },
    )
