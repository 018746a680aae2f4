"""What the doctor's checks say, as values, and how they are run one after the other. Looks at nothing itself.

A check that fails by an error of its own is a finding like any other, and so is one that does not come to its end.
"""

import datetime as dt
import enum
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from sqlalchemy.exc import DBAPIError, OperationalError

from sendproof_core.errors import UserError

# More than every time-out inside a check, so that this one is seen only where something hangs.
LONGEST_SECONDS = 30.0
# Of the JSON document: a higher number where a reader of the old one would go wrong.
_FORMAT = 1

Subject = TypeVar("Subject")


class Severity(enum.StrEnum):
    """How bad it is."""

    OK = "ok"
    # Worth knowing; nothing has to be done.
    NOTE = "note"
    # Mail flows; something will go wrong, or evidence is at risk.
    WARNING = "warning"
    # A link of the chain is broken.
    ERROR = "error"
    # Nobody looked, and why.
    SKIPPED = "skipped"


# As monitoring knows them: 0 well, 1 warning, 2 critical.
_EXIT_STATUS = {Severity.WARNING: 1, Severity.ERROR: 2}


@dataclass(frozen=True)
class Finding:
    """What a check found. ``remedy``: what to do; empty: nothing. ``details``: lines of evidence."""

    check: str
    severity: Severity
    said: str
    remedy: str = ""
    details: tuple[str, ...] = ()


class Verdicts:
    """Makes the findings of one check."""

    def __init__(self, check: str) -> None:
        self.check = check

    def ok(self, said: str, details: Iterable[str] = ()) -> Finding:
        """It is as it should be."""
        return Finding(self.check, Severity.OK, said, details=tuple(details))

    def note(self, said: str, remedy: str = "", details: Iterable[str] = ()) -> Finding:
        """Worth knowing."""
        return Finding(self.check, Severity.NOTE, said, remedy, tuple(details))

    def warning(self, said: str, remedy: str, details: Iterable[str] = ()) -> Finding:
        """It will go wrong."""
        return Finding(self.check, Severity.WARNING, said, remedy, tuple(details))

    def error(self, said: str, remedy: str, details: Iterable[str] = ()) -> Finding:
        """It is broken."""
        return Finding(self.check, Severity.ERROR, said, remedy, tuple(details))

    def skipped(self, said: str, remedy: str = "") -> Finding:
        """Nobody looked."""
        return Finding(self.check, Severity.SKIPPED, said, remedy)


class CannotLook(Exception):
    """A check has nothing to look at: the sentence says why. ``remedy``: what would let it look."""

    def __init__(self, said: str, remedy: str = "") -> None:
        super().__init__(said)
        self.said = said
        self.remedy = remedy


@dataclass(frozen=True)
class Check(Generic[Subject]):
    """One link of the chain. ``limit_seconds`` None: it ends by itself, and cleans up whatever happens."""

    name: str
    look: Callable[[Subject, Verdicts], Iterable[Finding]]
    limit_seconds: float | None = LONGEST_SECONDS


def run(
    checks: Sequence[Check[Subject]], subject: Subject, begun: Callable[[str], None] = lambda _name: None
) -> Iterator[Finding]:
    """What each check finds, in their order; those of one check together, once it has ended.

    ``begun``: told of each check before it is run.
    """
    for check in checks:
        begun(check.name)
        yield from _run(check, subject)


def _run(check: Check[Subject], subject: Subject) -> list[Finding]:
    if check.limit_seconds is None:
        return _look(check, subject)
    found: list[Finding] = []
    # A daemon, because a thread that hangs in a system call can only be left behind.
    thread = threading.Thread(target=lambda: found.extend(_look(check, subject)), name=check.name, daemon=True)
    thread.start()
    thread.join(check.limit_seconds)
    if thread.is_alive():
        said = f"the check did not come to an end within {check.limit_seconds:.0f} seconds."
        return [Verdicts(check.name).error(said, "Look whether a disk, a name server or the database hangs.")]
    return found


def _look(check: Check[Subject], subject: Subject) -> list[Finding]:
    verdicts = Verdicts(check.name)
    found: list[Finding] = []
    try:
        found.extend(check.look(subject, verdicts))
    except CannotLook as error:
        found.append(verdicts.skipped(error.said, error.remedy))
    except PermissionError as error:
        found.append(verdicts.skipped(f"{error.filename or 'a file'} may not be read.", "Run as root."))
    except UserError as error:
        found.append(verdicts.error(str(error), ""))
    except OperationalError as error:
        found.append(verdicts.error(f"the database does not answer ({first_line(error)}).", "See the check database."))
    except Exception as error:  # noqa: BLE001 - the other checks go on, whatever is wrong with this one
        # Not the error's text: it may hold a password.
        said = f"the check itself failed: {type(error).__name__} at {_place(error)}."
        found.append(verdicts.error(said, "This is a mistake of Sendproof's; please report it with this line."))
    return found


def first_line(error: DBAPIError) -> str:
    """What the database's driver says, on one line: it names host and user, and no password."""
    text = str(error.orig).strip()
    return text.splitlines()[0].rstrip(".") if text else "no connection"


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"


def worst(findings: Iterable[Finding]) -> Severity:
    """The worst of all; what was skipped is no better and no worse than a note."""
    severities = {finding.severity for finding in findings}
    order = (Severity.ERROR, Severity.WARNING, Severity.NOTE, Severity.SKIPPED)
    return next((severity for severity in order if severity in severities), Severity.OK)


def exit_status(findings: Iterable[Finding]) -> int:
    """0: nothing has to be done; 1: a warning is the worst; 2: an error is."""
    return _EXIT_STATUS.get(worst(findings), 0)


def counts(findings: Iterable[Finding]) -> Mapping[Severity, int]:
    """How many there are of each severity."""
    found = [finding.severity for finding in findings]
    return {severity: found.count(severity) for severity in Severity}


def to_json(findings: Sequence[Finding], host: str | None, now: dt.datetime) -> dict[str, Any]:
    """As ``--json`` prints it; ``docs/doctor.md`` describes it."""
    return {
        "format": _FORMAT,
        "host": host,
        "at": now.isoformat(timespec="seconds"),
        "severity": worst(findings).value,
        "exit_status": exit_status(findings),
        "counts": {severity.value: count for severity, count in counts(findings).items()},
        "findings": [
            {
                "check": finding.check,
                "severity": finding.severity.value,
                "said": finding.said,
                "remedy": finding.remedy,
                "details": list(finding.details),
            }
            for finding in findings
        ],
    }
