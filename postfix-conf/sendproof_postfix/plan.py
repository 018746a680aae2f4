"""Compare one instance of Postfix with what Sendproof needs: works on a copy, changes nothing that is in use."""

import contextlib
import errno
import os
import socket
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sendproof_core.errors import UserError
from sendproof_core.settings import SaslSettings, SettingsFile
from sendproof_postfix import configuration, decisions, files, postconf, steps
from sendproof_postfix import state as states
from sendproof_postfix import wanted as wishes
from sendproof_postfix.configuration import Configuration, Service
from sendproof_postfix.decisions import Conflict, Decision, Surroundings
from sendproof_postfix.files import Target
from sendproof_postfix.settings import PostfixSettings
from sendproof_postfix.state import Original, State, StateFolder

MAIN, MASTER = "main.cf", "master.cf"
# Postfix's own files, in the order in which they are replaced: what main.cf names is there before.
EDITED = (MASTER, MAIN)
_DOVECOT_MARK = b"# Sendproof's Dovecot"
_NO_LONGER = "No longer needed."
# Of inet_interfaces; the rest are addresses and names of hosts (postconf(5)).
_WORDS = {"all": "0.0.0.0", "loopback-only": "127.0.0.1", "localhost": "127.0.0.1"}  # noqa: S104 - asked, not served
_ANY = {"0.0.0.0", "::"}  # noqa: S104 - likewise


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One Postfix and the settings that concern it."""

    settings: PostfixSettings
    config_directory: Path
    milter_socket: Path
    passwd_file: Path

    @classmethod
    def of(cls, file: SettingsFile, config_directory: Path | None = None) -> "Instance":
        """From the settings file; another instance than the one that it names by its directory.

        Raises:
            UserError: a setting is missing or wrong.
        """
        settings = file.table(PostfixSettings)
        milter = file.tables.get("milter")
        path = milter.get("socket") if isinstance(milter, dict) else None
        if not isinstance(path, str) or not path.startswith("/"):
            raise UserError(f"{file.path}: [milter] lacks 'socket', the path that Postfix connects to.")
        if any(character.isspace() or character in "{}$,\"'" for character in path):
            raise UserError(f"{file.path}: [milter] socket must hold no blanks, quotes, commas or any of {{ }} $.")
        return cls(
            settings=settings,
            config_directory=(config_directory or settings.config_directory).resolve(),
            milter_socket=Path(path),
            passwd_file=file.table(SaslSettings).passwd_file,
        )

    @property
    def states(self) -> StateFolder:
        """Where what was applied is kept."""
        return StateFolder(self.settings.state_directory)


@dataclass(frozen=True)
class Change:
    """One difference between what is and what shall be. None: not there."""

    where: str
    before: str | None
    after: str | None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What has to be done, and all that doing it needs."""

    instance: Instance
    version: str
    changes: tuple[Change, ...]
    conflicts: tuple[Conflict, ...]
    notes: tuple[str, ...]
    # In the order in which they are put in place.
    targets: tuple[Target, ...] = ()
    state: State | None = None
    originals: dict[str, bytes | None]
    uses_dovecot: bool = False

    @property
    def fatal(self) -> tuple[Conflict, ...]:
        """What stops everything."""
        return tuple(one for one in self.conflicts if one.fatal)

    def as_json(self) -> dict[str, Any]:
        """For other programs: the shape stays, keys may be added."""
        return {
            "config_directory": str(self.instance.config_directory),
            "postfix": self.version,
            "changed": bool(self.changes),
            "changes": [
                {"where": one.where, "before": one.before, "after": one.after, "reason": one.reason}
                for one in self.changes
            ],
            "conflicts": [
                {"where": one.where, "found": one.found, "needed": one.needed, "why": one.why, "fatal": one.fatal}
                for one in self.conflicts
            ],
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Base:
    """The operator's configuration without us: its files, and what was left in them because it was edited."""

    contents: dict[str, bytes | None]
    originals: dict[str, Original]
    notes: tuple[str, ...]


def plan(instance: Instance, work: Path | None = None) -> Plan:
    """Look, and decide. ``work``: an empty folder for copies; if None, a passing one.

    Raises:
        UserError: this Postfix cannot be read, or `postfix check` fails before we did anything.
    """
    with _folder(work) as folder:
        return _plan(instance, folder)


def base(instance: Instance, work: Path) -> Base:
    """What the operator's files are without us: octet for octet, or, where they were edited since, step by step."""
    state = instance.states.load(instance.config_directory)
    contents: dict[str, bytes | None] = {}
    originals: dict[str, Original] = {}
    edited = []
    for name in (wishes.SPLIT_FILE, *EDITED):
        path = instance.config_directory / name
        now = files.content(path)
        known = state.originals.get(name) if state else None
        if state and known and states.digest(now) in known.versions:
            contents[name] = instance.states.original(instance.config_directory, name, known)
            originals[name] = known
            continue
        contents[name] = now
        if state and known and now is not None and states.digest(now) != known.digest:
            edited.append(name)
            if name == wishes.SPLIT_FILE:  # all of it is ours
                contents[name] = instance.states.original(instance.config_directory, name, known)
    notes: tuple[str, ...] = ()
    if state and edited:
        notes = _undo(instance, contents, state, [name for name in edited if name in EDITED], work)
    for name in contents.keys() - originals.keys():
        path = instance.config_directory / name
        has = files.attributes(path) if contents[name] is not None and path.exists() else None
        content = contents[name]
        originals[name] = Original(states.digest(content) if content is not None else None, has, frozenset())
    return Base(contents, originals, notes)


def _undo(
    instance: Instance, contents: dict[str, bytes | None], state: State, edited: list[str], work: Path
) -> tuple[str, ...]:
    copy = copied(work / "edited", contents)
    mine = [step for step in state.steps if (MAIN if isinstance(step, steps.SetMain) else MASTER) in edited]
    found = postconf.read(copy)
    back, notes = steps.undo(mine, found, _sockets(instance, state, found))
    postconf.edit(copy, back)
    for name in edited:
        contents[name] = (copy / name).read_bytes()
    return (*(f"{name} was edited since: settings are taken back one by one." for name in edited), *notes)


def _plan(instance: Instance, work: Path) -> Plan:
    directory = instance.config_directory
    for name in EDITED:
        if files.content(directory / name) is None:
            raise UserError(
                f"there is no {directory / name}: name Postfix's configuration directory with --config-dir."
            )
    if os.geteuid() == 0:
        postconf.check(directory)
    found = postconf.read(directory)
    without = base(instance, work)
    copy = copied(work / "copy", without.contents)
    untouched = all(files.content(directory / name) == without.contents[name] for name in EDITED)
    before = found if untouched else postconf.read(copy)
    around = _surroundings(instance, before, found)
    wanted = wishes.wanted(
        instance.settings,
        wishes.Place(
            config_directory=directory,
            milter_socket=_as_postfix_sees(instance.milter_socket, before),
            cleanup_service=decisions.cleanup_service(before),
        ),
    )
    decision = decisions.decide(before, wanted, instance.settings, around)
    if decision.fatal:
        return Plan(
            instance=instance,
            version=found.effective["mail_version"],
            changes=(),
            conflicts=decision.conflicts,
            notes=without.notes,
            originals=without.contents,
        )
    postconf.edit(copy, [step for step, _ in decision.steps])
    after = postconf.read(copy)
    _judge(copy, before, after, decision)
    sasl_socket = Path(around.queue_directory) / instance.settings.sasl_socket if decision.uses_dovecot else None
    changes, targets = _differences(instance, found, after, decision, copy, wanted.split_table)
    for target in _dovecot(instance, sasl_socket):
        written = None if target.content is None else "written"
        now = None if files.content(target.path) is None else "another content"
        targets = (target, *targets)
        changes = (*changes, Change(str(target.path), now, written, "Our Dovecot checks passwords."))
    return Plan(
        instance=instance,
        version=found.effective["mail_version"],
        changes=changes,
        conflicts=decision.conflicts,
        notes=without.notes,
        targets=targets,
        state=_state(instance, without, decision, targets, sasl_socket),
        originals=without.contents,
        uses_dovecot=decision.uses_dovecot,
    )


def _sockets(instance: Instance, state: State, found: Configuration) -> set[str]:
    """The paths of our milter's socket and of our Dovecot's, as they may stand in master.cf."""
    paths = [path for path in (instance.milter_socket, state.sasl_socket) if path is not None]
    return {spelled for path in paths for spelled in (str(path), _as_postfix_sees(path, found))}


def parts(instance: Instance, state: State, found: Configuration) -> set[str]:
    """What of ours an entry of master.cf may name, and what is gone after a revert."""
    names = {step.key.partition("/")[0] for step in state.steps if isinstance(step, steps.SetService)}
    return {name for name in names if name.startswith(wishes.PREFIX)} | _sockets(instance, state, found)


def _judge(copy: Path, before: Configuration, after: Configuration, decision: Decision) -> None:
    """Have Postfix itself look at the copy, and see that nothing else has changed.

    Raises:
        UserError: something is wrong; nothing was changed.
    """
    names = {step.name for step, _ in decision.steps if isinstance(step, steps.SetMain)}
    keys = {step.key for step, _ in decision.steps if not isinstance(step, steps.SetMain)}
    others = [
        name for name, value in before.explicit.items() if name not in names and after.explicit.get(name) != value
    ]
    others += [key for key, value in before.services.items() if key not in keys and after.services.get(key) != value]
    if others:
        raise UserError(f"postconf would change what is not ours, {', '.join(sorted(others))}: nothing was changed.")
    unused = [line for line in after.warnings - before.warnings if "unused parameter" in line]
    if unused:
        raise UserError(f"this Postfix does not know a setting that we need: {'; '.join(sorted(unused))}")
    if os.geteuid() == 0:
        postconf.check(copy)


def _differences(
    instance: Instance,
    found: Configuration,
    after: Configuration,
    decision: Decision,
    copy: Path,
    split_table: str,
) -> tuple[tuple[Change, ...], tuple[Target, ...]]:
    reasons = {_where(step): reason for step, reason in decision.steps}
    changes = [
        Change(f"{MAIN} {name}", found.explicit.get(name), after.explicit.get(name), "")
        for name in sorted(found.explicit.keys() | after.explicit.keys())
        if found.explicit.get(name) != after.explicit.get(name)
    ]
    touched = {MAIN} if changes else set()
    keys = list(dict.fromkeys([*found.services, *after.services]))
    services = [one for key in keys for one in _service_changes(found.services.get(key), after.services.get(key))]
    if services:
        touched.add(MASTER)
    result = [
        Change(one.where, one.before, one.after, reasons.get(one.where, _NO_LONGER)) for one in (*changes, *services)
    ]
    targets = [
        Target(instance.config_directory / name, (copy / name).read_bytes()) for name in EDITED if name in touched
    ]
    table = instance.config_directory / wishes.SPLIT_FILE
    now = files.content(table)
    if now != split_table.encode():
        targets.insert(0, Target(table, split_table.encode(), files.Attributes(0o644, 0, 0)))
        reason = "What a field that the milter adds sets off: a copy for each recipient."
        result.append(Change(str(table), None if now is None else "another content", "written", reason))
    return tuple(result), tuple(targets)


def _service_changes(now: Service | None, then: Service | None) -> Iterator[Change]:
    key = (now or then or _nothing()).key
    if now == then:
        return
    same_frame = now and then and (now.fields, now.command) == (then.fields, then.command)
    if not same_frame or not now or not then or now.options == then.options:
        yield Change(f"{MASTER} {key}", now.line if now else None, then.line if then else None)
        return
    for name in dict.fromkeys([*now.options, *then.options]):
        if now.options.get(name) != then.options.get(name):
            yield Change(f"{MASTER} {key}/{name}", now.options.get(name), then.options.get(name))


def _nothing() -> Service:
    raise AssertionError("one of two services is there")


def _where(step: steps.Step) -> str:
    match step:
        case steps.SetMain():
            return f"{MAIN} {step.name}"
        case steps.SetService():
            return f"{MASTER} {step.key}"
        case steps.SetOption():
            return f"{MASTER} {step.key}/{step.name}"


def _state(
    instance: Instance, without: Base, decision: Decision, targets: tuple[Target, ...], sasl_socket: Path | None
) -> State:
    directory = instance.config_directory
    results = {target.path.name: target.content for target in targets if target.path.parent == directory}
    originals = {}
    for name, original in without.originals.items():
        # Whatever is there now comes from this original by our hand or by that of the operator, whose edits are in it.
        versions = original.versions | {states.digest(files.content(directory / name))}
        if name in results:
            versions |= {states.digest(results[name])}
        originals[name] = Original(original.digest, original.attributes, versions - {original.digest or "absent"})
    return State(
        config_directory=directory,
        steps=tuple(step for step, _ in decision.steps),
        originals=originals,
        sasl_socket=sasl_socket,
        dovecot_config=instance.settings.dovecot_config if sasl_socket else None,
    )


def _dovecot(instance: Instance, sasl_socket: Path | None) -> Iterator[Target]:
    """The file of our Dovecot, if it has to change; it serves all instances."""
    path = instance.settings.dovecot_config
    if files.content(path) is not None and not is_our_dovecots(path):
        raise UserError(f"{path} is not ours; name another file in [postfix] dovecot_config.")
    others = instance.states.others(instance.config_directory)
    target = dovecot_target(instance, path, [one.sasl_socket for one in others] + [sasl_socket])
    if target.content != files.content(path):
        yield target
    state = instance.states.load(instance.config_directory)
    former = state.dovecot_config if state else None
    if former and former not in {path, *(one.dovecot_config for one in others)} and is_our_dovecots(former):
        yield Target(former, None)


def dovecot_target(instance: Instance, path: Path, sasl_sockets: Sequence[Path | None]) -> Target:
    """The file of our Dovecot with these sockets; without any, no file."""
    listening = [one for one in sasl_sockets if one is not None]
    if not listening:
        return Target(path, None)
    text = wishes.dovecot(instance.settings, instance.passwd_file, listening)
    return Target(path, text.encode(), files.Attributes(0o644, 0, 0))


def is_our_dovecots(path: Path) -> bool:
    """Whether the file is there, and one that we wrote."""
    return not path.is_symlink() and (files.content(path) or b"").startswith(_DOVECOT_MARK)


def _surroundings(instance: Instance, before: Configuration, found: Configuration) -> Surroundings:
    ours = [instance.settings.submission_port, instance.settings.submissions_port]
    ours = [name for name in ours if name] + [f"127.0.0.1:{instance.settings.resubmit_port}"]
    names = {one.name for one in (*before.services.values(), *found.services.values()) if one.kind == "inet"}
    words = {name.rpartition(":")[2] for name in (*names, *ours)}
    queue = before.expanded.get("queue_directory", "")
    theirs = {
        configuration.service(step.after).name: other.config_directory
        for other in instance.states.others(instance.config_directory)
        if (other.config_directory / MASTER).exists()
        for step in other.steps
        if isinstance(step, steps.SetService) and step.after and step.key.endswith("/inet")
    }
    taken = {name: "another program listens there." for name in ours if _is_taken(name, names, before)}
    for name in ours:
        # Only where an address is written: instances share a port that each has on addresses of its own.
        used = [
            directory for one, directory in theirs.items() if ":" in one and ":" in name and _meet(one, name, before)
        ]
        if used:
            taken[name] = f"Sendproof's service of the Postfix in {used[0]} is there."
    return Surroundings(
        ports={word: number for word in words if (number := _number(word))},
        taken=taken,
        dovecot_version=postconf.dovecot_version(),
        socket_in_queue=instance.milter_socket.is_relative_to(queue),
        milter_socket=str(instance.milter_socket),
        queue_directory=queue,
    )


def _as_postfix_sees(path: Path, found: Configuration) -> str:
    # Postfix's processes work in the queue directory, in a chroot or not.
    queue = found.expanded.get("queue_directory", "")
    return str(path.relative_to(queue)) if path.is_relative_to(queue) else str(path)


def _number(word: str) -> int | None:
    if word.isdecimal():
        return int(word)
    try:
        return socket.getservbyname(word, "tcp")
    except OSError:
        return None


def _is_taken(name: str, running: set[str], found: Configuration) -> bool:
    """Whether a program listens on a port where this Postfix has no service, however it may be written."""
    word = name.rpartition(":")[2]
    port = _number(word)
    if port is None:
        raise UserError(f"the port {word!r} is not in services(5); write its number.")
    if any(_meet(name, one, found) for one in running):
        return False
    return any(_listens(address, port) for address in _addresses(name, found))


def _meet(one: str, other: str, found: Configuration) -> bool:
    """Whether two services cannot both have their port."""
    numbers = {_number(name.rpartition(":")[2]) for name in (one, other)}
    here, there = _addresses(one, found), _addresses(other, found)
    return len(numbers) == 1 and bool(here & there or _ANY & (here | there))


def _addresses(name: str, found: Configuration) -> set[str]:
    address = name.rpartition(":")[0]
    addresses = [address] if address else configuration.elements(found.expanded.get("inet_interfaces", "all"))
    return {_WORDS.get(one, one).strip("[]") for one in addresses}


def _listens(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:  # else: only root may ask for it, or the address is another machine's
            return error.errno == errno.EADDRINUSE
    return False


def copied(folder: Path, contents: dict[str, bytes | None]) -> Path:
    """A folder with main.cf and master.cf, for postconf and postfix to look at."""
    folder.mkdir()
    for name in EDITED:
        content = contents[name] or b""
        # postconf would go on in a last line that has no end, and make one setting of two.
        (folder / name).write_bytes(content if content.endswith(b"\n") or not content else content + b"\n")
    postconf.age(folder)
    return folder


@contextlib.contextmanager
def _folder(work: Path | None) -> Iterator[Path]:
    if work is not None:
        yield work
        return
    with tempfile.TemporaryDirectory(prefix="sendproof-postfix-") as passing:
        yield Path(passing)
