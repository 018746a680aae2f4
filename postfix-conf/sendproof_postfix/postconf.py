"""Run Postfix's own commands: postconf(1) reads and edits, postfix(1) judges and reloads. Decides nothing.

Asks Dovecot for its version, too.
"""

import os
import pty
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from sendproof_core.errors import UserError
from sendproof_core.hostile_text import visible
from sendproof_postfix import configuration
from sendproof_postfix.configuration import Configuration
from sendproof_postfix.steps import SetMain, SetOption, SetService, Step

_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
# Nothing of the caller's environment decides which configuration is meant (MAIL_CONFIG).
_ENVIRONMENT = {"PATH": _FOLDERS, "LC_ALL": "C", "TZ": "UTC"}
_SECONDS = 120


class Refused(UserError):
    """Postfix finds a configuration wrong; the text holds its words."""


def read(directory: Path) -> Configuration:
    """The configuration in a directory.

    Raises:
        Refused: Postfix cannot read it.
    """
    explicit, warned = _postconf(directory, "-n")
    lines, _ = _postconf(directory, "-M")
    effective, _ = _postconf(directory)
    expanded, _ = _postconf(directory, "-x")
    options, _ = _postconf(directory, "-Px")
    version, _ = _postconf(directory, "-dh", "mail_version")
    try:
        services = configuration.services(lines)
    except ValueError as error:
        raise Refused(f"{directory}/master.cf: this is no service: {visible(str(error))}") from None
    return Configuration(
        explicit=configuration.parameters(explicit),
        services=services,
        effective={**configuration.parameters(effective), "mail_version": version.strip()},
        expanded=configuration.parameters(expanded),
        expanded_options=configuration.service_parameters(options),
        # The same words of the copy must be the same words.
        warnings=frozenset(line.replace(str(directory), "") for line in warned.splitlines()),
    )


def age(directory: Path) -> None:
    """Let the files of a copy look old: Postfix waits until one has not changed for two seconds."""
    for name in ("main.cf", "master.cf"):
        os.utime(directory / name, (0, 0))


def edit(directory: Path, steps: Iterable[Step]) -> None:
    """Carry the steps out on the files in a directory of ours, a copy.

    Raises:
        Refused: postconf does not take one.
    """
    todo = list(steps)
    _many(directory, "-M", (f"{one.key}={one.after}" for one in todo if isinstance(one, SetService) and one.after))
    _many(directory, "-MX", (one.key for one in todo if isinstance(one, SetService) and one.after is None))
    options = [one for one in todo if isinstance(one, SetOption)]
    blanks = [one for one in options if one.after and any(character.isspace() for character in one.after)]
    plain = [one for one in options if one not in blanks]
    _many(directory, "-P", (f"{one.key}/{one.name}={one.after}" for one in plain if one.after is not None))
    _many(directory, "-PX", (f"{one.key}/{one.name}" for one in plain if one.after is None))
    for one in blanks:  # `postconf -P` takes none, `postconf -M` takes whole entries
        found = read(directory).services[one.key]
        _many(directory, "-M", [f"{one.key}={found.with_option(one.name, one.after).line}"])
    main = [one for one in todo if isinstance(one, SetMain)]
    _many(directory, "-e", (f"{one.name}={one.after}" for one in main if one.after is not None))
    _many(directory, "-X", (one.name for one in main if one.after is None))


def check(directory: Path) -> str:
    """What `postfix check` says, which makes missing folders of the queue as a start would.

    Raises:
        Refused: it finds an error.
    """
    status, words = _on_terminal(["postfix", "-c", str(directory), "check"])
    if status != 0:
        raise Refused(f"`postfix check` fails: {words or 'without a word'}")
    return words


def is_running(directory: Path) -> bool:
    """Whether this instance of Postfix runs."""
    return _on_terminal(["postfix", "-c", str(directory), "status"])[0] == 0


def reload(directory: Path) -> None:
    """Have the running instance read its configuration again.

    Raises:
        UserError: it does not.
    """
    status, words = _on_terminal(["postfix", "-c", str(directory), "reload"])
    if status != 0:
        raise UserError(f"the settings are in place, but `postfix reload` fails: {words}")


def queue_directory(directory: Path) -> str:
    """Where this instance's queue is."""
    return _postconf(directory, "-xh", "queue_directory")[0].strip()


def instances() -> tuple[str, ...]:
    """Configuration directories of the other instances that the default one names (postmulti(1))."""
    default = _run(["postconf", "-dh", "config_directory"]).stdout.strip()
    found = _run(["postconf", "-c", default, "-xh", "multi_instance_directories"])
    return tuple(configuration.elements(found.stdout)) if found.returncode == 0 else ()


def dovecot_version() -> str:
    """What `dovecot --version` says; empty: there is no Dovecot."""
    return _run(["dovecot", "--version"]).stdout.strip() if shutil.which("dovecot", path=_FOLDERS) else ""


def _many(directory: Path, how: str, arguments: Iterable[str]) -> None:
    found = list(arguments)
    if found:
        _postconf(directory, how, *found)
        age(directory)


def _postconf(directory: Path, *arguments: str) -> tuple[str, str]:
    done = _run(["postconf", "-c", str(directory), *arguments])
    if done.returncode != 0 or "fatal:" in done.stderr:
        raise Refused(f"postconf: {_one_line(done.stderr)}")
    return done.stdout, done.stderr


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    # surrogateescape: a value may hold octets that are no UTF-8, and they come back as they were.
    return subprocess.run(
        [_found(command[0]), *command[1:]],
        env=_ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        timeout=_SECONDS,
        check=False,
    )


def _on_terminal(command: Sequence[str]) -> tuple[int, str]:
    """Status and words: postfix(1) speaks to a terminal only, and to the log."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [_found(command[0]), *command[1:]], env=_ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs
        )
    finally:
        os.close(theirs)
    said = b""
    try:
        while chunk := os.read(ours, 65536):
            said += chunk
    except OSError:  # the other end is closed
        pass
    finally:
        os.close(ours)
    return process.wait(timeout=_SECONDS), _one_line(said.decode("utf-8", "replace"))


def _one_line(words: str) -> str:
    lines = dict.fromkeys(line.strip().removeprefix("postconf: ") for line in words.splitlines() if line.strip())
    return visible("; ".join(lines))


def _found(command: str) -> str:
    path = shutil.which(command, path=_FOLDERS)
    if path is None:
        raise UserError(f"there is no Postfix here: the command {command} was not found.")
    return path
