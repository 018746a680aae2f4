"""What the provider decides about plans: done, and written in the audit log. For site and `sendproof` command."""

import dataclasses
import datetime as dt
import hashlib
import json

from sqlalchemy.orm import Session

from sendproof_core import audit, directory
from sendproof_core.audit import Actor
from sendproof_core.plans import QuotaLimits
from sendproof_core.schema import Plan


def edition(plan: Plan) -> str:
    """Changes with the plan: a form that was made from an older edition is not saved over a newer one."""
    written = json.dumps([plan.name, dataclasses.asdict(directory.plan_limits(plan))])
    return hashlib.sha256(written.encode()).hexdigest()[:16]


def create(session: Session, name: str, limits: QuotaLimits, actor: Actor, now: dt.datetime) -> Plan:
    """A new plan."""
    plan = directory.add_plan(session, name, limits)
    audit.record(session, "plan created", actor, now, details={"plan": name, **_set_ones(limits)})
    return plan


def change(
    session: Session, plan: Plan, limits: QuotaLimits, actor: Actor, now: dt.datetime, *, name: str | None = None
) -> dict[str, list[int | str | None]]:
    """Let these be the plan's limits, all of them; what was changed, each with its value before and after."""
    before, old_name = dataclasses.asdict(directory.plan_limits(plan)), plan.name
    if name is not None and name != old_name:
        directory.rename_plan(session, plan, name)
    directory.change_plan(session, plan.name, limits)
    changed: dict[str, list[int | str | None]] = {
        limit: [before[limit], value] for limit, value in dataclasses.asdict(limits).items() if before[limit] != value
    }
    if plan.name != old_name:
        changed["name"] = [old_name, plan.name]
    if changed:
        audit.record(session, "plan changed", actor, now, details={"plan": plan.name, **changed})
    return changed


def remove(session: Session, plan: Plan, actor: Actor, now: dt.datetime) -> None:
    """Forget a plan that no account has.

    Raises:
        UserError: accounts have it.
    """
    details = {"plan": plan.name, **_set_ones(directory.plan_limits(plan))}
    directory.delete_plan(session, plan)
    audit.record(session, "plan deleted", actor, now, details=details)


def _set_ones(limits: QuotaLimits) -> dict[str, int]:
    return {name: value for name, value in dataclasses.asdict(limits).items() if value is not None}
