"""Single changes of main.cf and master.cf as values, and how each is taken back. Carries nothing out."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sendproof_postfix import configuration
from sendproof_postfix.configuration import Configuration

# Of these, single elements are ours and the others the operator's.
_LISTS = frozenset({"smtpd_milters"})


@dataclass(frozen=True)
class SetMain:
    """A parameter of main.cf. ``before`` or ``after`` None: it is not there."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class SetService:
    """An entry of master.cf as one line, by ``name/type``."""

    key: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class SetOption:
    """A ``-o`` of an entry of master.cf."""

    key: str
    name: str
    before: str | None
    after: str | None


Step = SetMain | SetService | SetOption
_KINDS: dict[str, type[Step]] = {"main": SetMain, "service": SetService, "option": SetOption}


def to_json(step: Step) -> dict[str, Any]:
    """As it is kept on disk."""
    kind = next(name for name, one in _KINDS.items() if one is type(step))
    return {"kind": kind, **dataclasses.asdict(step)}


def from_json(value: dict[str, Any]) -> Step:
    """What `to_json` wrote."""
    return _KINDS[value["kind"]](**{name: item for name, item in value.items() if name != "kind"})


def undo(steps: Iterable[Step], found: Configuration) -> tuple[list[Step], list[str]]:
    """What takes ``steps`` back from a configuration that was edited since, and what is left to the operator."""
    back: list[Step] = []
    notes: list[str] = []
    for step in steps:
        match step:
            case SetMain():
                _undo_main(step, found, back, notes)
            case SetService():
                _undo_service(step, found, back, notes)
            case SetOption():
                _undo_option(step, found, back, notes)
    return back, notes


def _undo_main(step: SetMain, found: Configuration, back: list[Step], notes: list[str]) -> None:
    now = found.explicit.get(step.name)
    if now == step.after:
        back.append(SetMain(step.name, now, step.before))
    elif now != step.before:
        notes.append(f"main.cf: {step.name} was changed since and stays as it is: {now!r}.")


def _undo_service(step: SetService, found: Configuration, back: list[Step], notes: list[str]) -> None:
    now = found.services.get(step.key)
    if now is None:
        return
    if step.after is not None and now == configuration.service(step.after):
        back.append(SetService(step.key, now.line, step.before))
    elif step.before is None or now != configuration.service(step.before):
        # Without our milter and our passwords it is of no use, and with them mail would wait for ever.
        back.append(SetService(step.key, now.line, step.before))
        notes.append(f"master.cf: our service {step.key} was edited since, and is taken away all the same: {now.line}")


def _undo_option(step: SetOption, found: Configuration, back: list[Step], notes: list[str]) -> None:
    service = found.services.get(step.key)
    if service is None:
        return
    now = service.options.get(step.name)
    if now == step.after:
        back.append(SetOption(step.key, step.name, now, step.before))
    elif now is not None and step.name in _LISTS and step.after is not None:
        before = configuration.elements(step.before or "")
        ours = [one for one in configuration.elements(step.after) if one not in before]
        left = [one for one in configuration.elements(now) if one not in ours]
        if len(left) < len(configuration.elements(now)):
            back.append(SetOption(step.key, step.name, now, ",".join(left)))
            notes.append(f"master.cf: {step.key}/{step.name} was edited since; only our part of it is taken away.")
    elif now != step.before:
        notes.append(f"master.cf: {step.key}/{step.name} was changed since and stays as it is: {now!r}.")
