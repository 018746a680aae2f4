"""Single changes of main.cf and master.cf as values, and how each is taken back. Carries nothing out."""

import dataclasses
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from sendproof_postfix import configuration
from sendproof_postfix.configuration import Configuration, Service, elements

# Of these, one element is ours and the others the operator's.
_LISTS = frozenset({"smtpd_milters"})
# Names a service in the log only.
_HARMLESS = frozenset({"syslog_name"})


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


def undo(steps: Iterable[Step], found: Configuration, sockets: Collection[str] = ()) -> tuple[list[Step], list[str]]:
    """What takes ``steps`` back from a configuration that was edited since, and what is left to the operator.

    ``sockets``: the paths of our milter's socket and of our Dovecot's, however they may be written.
    """
    back: list[Step] = []
    notes: list[str] = []
    for step in steps:
        match step:
            case SetMain():
                _undo_main(step, found, back, notes)
            case SetService():
                _undo_service(step, found, back, notes)
            case SetOption():
                _undo_option(step, found, sockets, back, notes)
    return back, notes


def still_named(gone: Collection[str], found: Configuration) -> list[str]:
    """The services that name a part of ours that is taken back, such as a copy of one that we extended."""
    return [
        f"master.cf: {service.key} still names what is Sendproof's and gone: {', '.join(parts)}. Take that out: mail "
        "that comes there would be refused, or wait, for ever."
        for service in found.services.values()
        if (parts := _naming(service, gone))
    ]


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


def _undo_option(
    step: SetOption, found: Configuration, sockets: Collection[str], back: list[Step], notes: list[str]
) -> None:
    service = found.services.get(step.key)
    if service is None:
        return
    now = service.options.get(step.name)
    if now == step.after:
        back.append(SetOption(step.key, step.name, now, step.before))
    elif now is not None and step.name in _LISTS and step.after is not None:
        ours = _our_address(step, sockets)
        left = [one for one in elements(now) if _address(one) != ours]
        if len(left) < len(elements(now)):
            was_alone = step.before is None and len(elements(step.after)) == 1
            back.append(SetOption(step.key, step.name, now, None if was_alone and not left else ",".join(left)))
            notes.append(f"master.cf: {step.key}/{step.name} was edited since; only our part of it is taken away.")
    elif now != step.before:
        notes.append(f"master.cf: {step.key}/{step.name} was changed since and stays as it is: {now!r}.")


def _our_address(step: SetOption, sockets: Collection[str]) -> str | None:
    """What we added to a list, known by its address, since everything else of it may have been edited."""
    # Where the operator's list came from main.cf, ``before`` does not say what of it is his.
    before = {_address(one) for one in elements(step.before or "")}
    added = [_address(one) for one in elements(step.after or "")]
    ours = next((one for one in added if one.removeprefix("unix:") in sockets), added[-1] if added else None)
    return ours if ours not in before else None


def _address(milter: str) -> str:
    """Without its options, which may stand behind it in braces (MILTER_README)."""
    return next(iter(elements(milter.strip("{}"))), "")


def _naming(service: Service, gone: Collection[str]) -> list[str]:
    options = {name: value for name, value in service.options.items() if name not in _HARMLESS}
    return [f"{name}={value}" for name, value in options.items() if any(one in value for one in gone)]
