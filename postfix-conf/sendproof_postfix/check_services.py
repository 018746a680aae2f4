"""Whether systemd runs what should run here. Without systemd, nothing is known: other checks ask the programs."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from sendproof_postfix.doctor import CannotLook, Finding, Verdicts
from sendproof_postfix.doctor_postfix import run
from sendproof_postfix.doctor_subject import Subject

_SYSTEMD = Path("/run/systemd/system")
# The table whose program runs here, and its unit.
_UNITS = {
    "milter": "sendproof-milter.service",
    "logparser": "sendproof-logparser.service",
    "web": "sendproof-web.service",
    "notices": "sendproof-notices.service",
}
# On Debian the first is active while its instances are (a oneshot that remains), and `systemctl stop` ends both.
_POSTFIX = ("postfix.service", "postfix@-.service")
_DOVECOT = "dovecot-sendproof.service"
# As in that unit's ConditionPathExists=: `sendproof postfix apply` writes it.
_DOVECOT_WANTS = Path("/etc/sendproof/dovecot.conf")
_TIMERS = ("sendproof-maintain.timer", "sendproof-credentials.timer", "sendproof-domains.timer")
_PROPERTIES = "Id,LoadState,UnitFileState,ActiveState,SubState,NRestarts,Result"
_MANY_RESTARTS = 5


def look(subject: Subject, verdicts: Verdicts) -> Iterator[Finding]:
    """Our units, Postfix's and Dovecot's, and the timers that are there."""
    if not _SYSTEMD.exists():
        raise CannotLook("systemd does not run here: whether services are started again is somebody else's business.")
    wanted = [unit for table, unit in _UNITS.items() if subject.has(table)]
    looked_at = (*wanted, *others(), *_TIMERS)
    units = read(run("systemctl", "show", f"--property={_PROPERTIES}", *looked_at).stdout)
    running = []
    for unit in looked_at:
        found = list(judge(units.get(unit, {"Id": unit}), is_wanted=unit in wanted, verdicts=verdicts))
        yield from found
        if not found and units.get(unit, {}).get("ActiveState") == "active":
            running.append(unit)
    if running:
        yield verdicts.ok(f"active: {', '.join(unit.removesuffix('.service') for unit in running)}.")


def others(dovecot_wants: Path = _DOVECOT_WANTS) -> tuple[str, ...]:
    """Units that may be here beside the programs'. ``dovecot_wants``: without it, our Dovecot is not started."""
    # It is enabled on every machine that has the package.
    return (*_POSTFIX, _DOVECOT) if dovecot_wants.exists() else _POSTFIX


def read(text: str) -> dict[str, Mapping[str, str]]:
    """The blocks of `systemctl show`, by unit."""
    units: dict[str, Mapping[str, str]] = {}
    for block in text.strip().split("\n\n"):
        pairs = (line.partition("=") for line in block.splitlines())
        values = {name: value for name, _, value in pairs}
        if "Id" in values:
            units[values["Id"]] = values
    return units


def judge(unit: Mapping[str, str], *, is_wanted: bool, verdicts: Verdicts) -> Iterator[Finding]:
    """One unit. ``is_wanted``: the settings have its table; others may be absent."""
    name = unit["Id"]
    if unit.get("LoadState", "not-found") == "not-found":
        if is_wanted:
            yield verdicts.warning(
                f"systemd has no unit {name}, and the settings have its table.",
                "Install the unit, or take the table out of the settings of this machine.",
            )
        return
    state = unit.get("ActiveState", "unknown")
    look_there = f"`systemctl status {name}` and `journalctl -u {name}` say why."
    if state == "failed":
        yield verdicts.error(f"{name} has failed ({unit.get('Result') or 'no reason given'}).", look_there)
    elif state != "active" and (is_wanted or unit.get("UnitFileState") == "enabled"):
        yield verdicts.error(f"{name} is {state}.", f"`systemctl start {name}`. {look_there}")
    elif is_wanted and unit.get("UnitFileState") == "disabled":
        yield verdicts.warning(
            f"{name} runs, and will not after a restart of the machine.", f"`systemctl enable {name}`."
        )
    restarts = unit.get("NRestarts", "0")
    if restarts.isdigit() and int(restarts) >= _MANY_RESTARTS:
        yield verdicts.warning(f"{name} was started again {restarts} times.", look_there)
