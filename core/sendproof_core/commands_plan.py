"""`sendproof plan`: what accounts may send. Counts nothing."""

import dataclasses
from collections.abc import Callable

import click
from sqlalchemy import func, select

from sendproof_core import directory
from sendproof_core.commands_context import Context, show_table
from sendproof_core.errors import UserError
from sendproof_core.plans import QuotaLimits
from sendproof_core.schema import Account, Plan

_LIMITS = tuple(field.name for field in dataclasses.fields(QuotaLimits))
_NO_LIMIT = "none"


def _limit_options(command: Callable[..., None]) -> Callable[..., None]:
    """One option for each limit that a plan may have."""
    for name in reversed(_LIMITS):
        command = click.option(f"--{name.replace('_', '-')}", name, metavar="N|none")(command)
    return command


def _changed(before: QuotaLimits, given: dict[str, str | None]) -> QuotaLimits:
    """The limits with those that were given; what numbers are possible, the directory says."""
    limits: dict[str, int | None] = dataclasses.asdict(before)
    for name, text in given.items():
        if text is not None:
            limits[name] = None if text == _NO_LIMIT else _number(name, text)
    return QuotaLimits(**limits)


def _number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UserError(f"--{name.replace('_', '-')} takes a whole number or {_NO_LIMIT!r}, not {text!r}.") from None


@click.group()
def plan() -> None:
    """What accounts may send."""


@plan.command("add")
@click.argument("name")
@_limit_options
@click.pass_obj
def plan_add(context: Context, /, name: str, **limits: str | None) -> None:
    """Add a plan. A limit that is left out does not exist."""
    with context.database().writing() as session:
        directory.add_plan(session, name, _changed(QuotaLimits(), limits))
    click.echo(f"added plan {name}")


@plan.command("change")
@click.argument("name")
@_limit_options
@click.pass_obj
def plan_change(context: Context, /, name: str, **limits: str | None) -> None:
    """Change the limits that are given.

    The word "none" takes one away.
    """
    with context.database().writing() as session:
        before = directory.plan_limits(directory.find_plan(session, name))
        directory.change_plan(session, name, _changed(before, limits))
    click.echo(f"changed plan {name}")


@plan.command("list")
@click.pass_obj
def plan_list(context: Context) -> None:
    """Show every plan with its limits."""
    with context.database().reading() as session:
        counted = select(func.count()).where(Account.plan_id == Plan.id).scalar_subquery()
        rows = session.execute(select(Plan, counted).order_by(Plan.name)).all()
        lines = [(plan.name, str(count), _limits_text(directory.plan_limits(plan))) for plan, count in rows]
    if not lines:
        click.echo("there is no plan yet; `sendproof plan add` makes one")
        return
    show_table(("PLAN", "ACCOUNTS", "LIMITS"), lines)


def _limits_text(limits: QuotaLimits) -> str:
    set_ones = {name: value for name, value in dataclasses.asdict(limits).items() if value is not None}
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in set_ones.items()) or "none"
