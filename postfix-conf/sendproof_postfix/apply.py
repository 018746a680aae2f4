"""Put a plan in place, and take it back: the only part that writes Postfix's files. Decides nothing.

Before a file of Postfix's is touched, its octets are kept in the state folder. Each file is replaced whole. Whoever is
killed in between finds at every moment a Postfix that works, and can `apply` again or `revert`.
"""

import dataclasses
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sendproof_core.errors import UserError
from sendproof_postfix import files, plan, postconf, steps, wanted
from sendproof_postfix.files import Target
from sendproof_postfix.plan import MAIN, MASTER, Instance, Plan
from sendproof_postfix.state import Original, State

_DOVECOT = "dovecot-sendproof.service"
# Not `hold`: what the operator keeps there, he keeps.
_QUEUES = ("incoming", "active", "deferred")
# In this order: nothing names a file that is gone.
_TAKEN_BACK = (MAIN, MASTER, wanted.SPLIT_FILE)


class Blocked(UserError):
    """The operator has to decide something first; ``plan`` says what."""

    def __init__(self, found: Plan) -> None:
        super().__init__("nothing was changed: " + " ".join(f"{one.where}: {one.why}" for one in found.fatal))
        self.plan = found


@dataclass(frozen=True)
class Done:
    """What was done, and what the operator should know."""

    changed: bool
    notes: tuple[str, ...]
    plan: Plan | None = None
    reloaded: bool = False
    # By `revert`: every file is what it was, and nothing of ours is in them.
    as_it_was: bool = False


def apply(instance: Instance, *, reload: bool = True) -> Done:
    """Put in place what the plan says; where there is nothing to do, nothing happens.

    Raises:
        Blocked: something of the operator's is in the way.
        UserError: this Postfix cannot be read or written; nothing has changed.
    """
    _need_root()
    with instance.states.locked() as work:
        found = plan.plan(instance, work)
        if found.fatal:
            raise Blocked(found)
        if found.changes:
            _put_in_place(instance, found)
        state = instance.states.load(instance.config_directory)
        notes = list(found.notes)
        if found.changes and found.uses_dovecot and reload:
            notes += _tell_dovecot(instance.settings.dovecot_config)
        reloaded = False
        if reload and state and not state.settled:
            reloaded = _reload(instance.config_directory)
            instance.states.save(dataclasses.replace(state, settled=True), _contents(instance, state.originals))
        return Done(bool(found.changes), tuple(notes), found, reloaded)


def revert(instance: Instance, *, reload: bool = True) -> Done:
    """Give the operator's configuration back: octet for octet, or, where it was edited since, setting by setting.

    Raises:
        UserError: something cannot be written, or Postfix would refuse the result; nothing has changed.
    """
    _need_root()
    states, directory = instance.states, instance.config_directory
    with states.locked() as work:
        state = states.load(directory)
        for name in _TAKEN_BACK:  # of an apply that was killed
            files.staged(directory / name).unlink(missing_ok=True)
        if state is None:
            states.forget(directory)  # what was kept for an apply that was killed before it began
            return Done(False, ())
        without = plan.base(instance, work)
        notes = list(without.notes)
        result = plan.copied(work / "result", without.contents)
        if notes:
            postconf.check(result)
        # Also of an edit that a later `apply` took for the operator's own.
        left = postconf.read(result)
        notes += steps.still_named(plan.parts(instance, state, left), left)
        as_it_was = not notes
        targets = []
        for name in _TAKEN_BACK:
            path, content = directory / name, without.contents[name]
            if content != files.content(path):
                kept = state.originals[name] == without.originals[name]
                targets.append(Target(path, content, without.originals[name].attributes if kept else None))
        dovecot = state.dovecot_config or instance.settings.dovecot_config
        if state.sasl_socket:
            targets += _without_dovecot(instance, dovecot, notes)
        notes += _of_the_queue(directory, state)
        files.replace(targets)
        try:
            reloaded = reload and _reload(directory)
        finally:
            states.forget(directory)
        if reload and state.sasl_socket:
            notes += _tell_dovecot(dovecot)
        return Done(True, tuple(notes), None, reloaded, as_it_was)


def difference(found: Plan) -> list[tuple[Path, bytes, bytes]]:
    """The files that a plan changes: path, octets now, octets then."""
    return [(one.path, files.content(one.path) or b"", one.content or b"") for one in found.targets]


def _put_in_place(instance: Instance, found: Plan) -> None:
    states, directory = instance.states, instance.config_directory
    previous = states.load(directory)
    kept = _contents(instance, previous.originals) if previous else {}
    if found.state is None:
        raise AssertionError("a plan with changes has a state")
    try:
        states.save(found.state, found.originals)
        files.replace(found.targets)
    except UserError:
        if previous:
            states.save(previous, kept)
        else:
            states.forget(directory)
        raise


def _contents(instance: Instance, originals: Mapping[str, Original]) -> dict[str, bytes | None]:
    return {
        name: instance.states.original(instance.config_directory, name, original)
        for name, original in originals.items()
    }


def _reload(directory: Path) -> bool:
    if not postconf.is_running(directory):
        return False
    postconf.reload(directory)
    return True


def _without_dovecot(instance: Instance, path: Path, notes: list[str]) -> list[Target]:
    """Our Dovecot's file with the sockets of the other instances; what somebody else put in its place stays."""
    if not plan.is_our_dovecots(path):
        if path.exists():
            notes.append(f"{path} is not Sendproof's any more, and stays as it is.")
        return []
    others = instance.states.others(instance.config_directory)
    sockets = [one.sasl_socket for one in others if one.dovecot_config in (None, path)]
    target = plan.dovecot_target(instance, path, sockets)
    return [target] if target.content != files.content(path) else []


def _of_the_queue(directory: Path, state: State) -> list[str]:
    """What to do with mail that waits for a transport of ours, which is gone now."""
    if f"{wanted.SPLIT_FILE}/unix" not in {step.key for step in state.steps if isinstance(step, steps.SetService)}:
        return []
    queue = Path(postconf.queue_directory(directory))
    if not any(path.is_file() for name in _QUEUES for path in (queue / name).rglob("*")):
        return []
    return [
        f"Mail in the queue may wait for {wanted.SPLIT_FILE}, which is gone: "
        f"`postsuper -c {directory} -r ALL {' '.join(_QUEUES)}` has it sent as it is, within a minute or so."
    ]


def _tell_dovecot(path: Path) -> list[str]:
    """Start, restart or stop our Dovecot where systemd has its unit; else say that somebody must."""
    wanted_now = plan.is_our_dovecots(path)
    if Path("/run/systemd/system").is_dir():
        known = subprocess.run(["systemctl", "cat", _DOVECOT], capture_output=True, check=False).returncode == 0
        if known:
            verb = "restart" if wanted_now else "stop"
            done = subprocess.run(["systemctl", verb, _DOVECOT], capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return []
            return [f"`systemctl {verb} {_DOVECOT}` fails: {done.stderr.strip()}"]
    if wanted_now:
        return [f"Dovecot must be started anew with {path}: it checks the passwords."]
    return []


def _need_root() -> None:
    if os.geteuid() != 0:
        raise UserError(
            "only root may change Postfix's configuration; `sendproof postfix plan` shows what would change."
        )
