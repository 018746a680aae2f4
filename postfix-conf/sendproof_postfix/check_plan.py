"""Whether our settings are in Postfix: `plan` decides, this says so."""

from collections.abc import Iterator, Sequence

from sendproof_postfix import plan as planning
from sendproof_postfix.decisions import Conflict
from sendproof_postfix.doctor import CannotLook, Finding, Verdicts
from sendproof_postfix.doctor_subject import Subject
from sendproof_postfix.plan import Change, Instance

_SHOWN = 8


def look(subject: Subject, verdicts: Verdicts) -> Iterator[Finding]:
    """What `sendproof postfix plan` would say."""
    if not subject.has("milter"):
        raise CannotLook("the settings have no [milter]: no Postfix here needs our settings.")
    # Its own error where there is no Postfix is the one of the check before.
    directory = subject.postfix.directory
    found = planning.plan(Instance.of(subject.file, directory))
    yield from judge(found.changes, found.conflicts, verdicts)


def judge(changes: Sequence[Change], conflicts: Sequence[Conflict], verdicts: Verdicts) -> Iterator[Finding]:
    """What stands in the way, and what would change."""
    for conflict in conflicts:
        said = f"{conflict.where} is {conflict.found!r}" + (f", not {conflict.needed!r}" if conflict.needed else "")
        if conflict.fatal:
            yield verdicts.error(
                f"{said}.", f"{conflict.why} It is yours: change it, then run `sendproof postfix apply`."
            )
        else:
            yield verdicts.note(f"{said}.", conflict.why)
    if changes:
        yield verdicts.warning(
            f"settings of Postfix that are not as Sendproof needs them: {len(changes)}.",
            "`sendproof postfix plan` shows them, `sendproof postfix apply` puts them in place.",
            [change.where for change in changes[:_SHOWN]],
        )
    elif not any(conflict.fatal for conflict in conflicts):
        yield verdicts.ok("Postfix has every setting that Sendproof needs.")
