"""`sendproof plan`: what accounts may send. Counts nothing."""

import dataclasses
from collections.abc import Callable

import click
from sqlalchemy import func, select

from sendproof_core import audit, clock, directory, plan_changes, plan_trial
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
        plan_changes.create(session, name, _changed(QuotaLimits(), limits), audit.COMMAND, clock.now())
    click.echo(f"added plan {name}")


@plan.command("change")
@click.argument("name")
@click.option("--name", "new_name", help="Another name for it.")
@_limit_options
@click.pass_obj
def plan_change(context: Context, /, name: str, new_name: str | None, **limits: str | None) -> None:
    """Change the limits that are given.

    The word "none" takes one away.
    """
    with context.database().writing() as session:
        found = directory.find_plan(session, name)
        wanted = _changed(directory.plan_limits(found), limits)
        plan_changes.change(session, found, wanted, audit.COMMAND, clock.now(), name=new_name)
    click.echo(f"changed plan {name}")


@plan.command("delete")
@click.argument("name")
@click.pass_obj
def plan_delete(context: Context, name: str) -> None:
    """Forget a plan that no account has."""
    with context.database().writing() as session:
        plan_changes.remove(session, directory.find_plan(session, name), audit.COMMAND, clock.now())
    click.echo(f"deleted plan {name}")


@plan.command("show")
@click.argument("name")
@click.pass_obj
def plan_show(context: Context, name: str) -> None:
    """Show one plan's limits, and who has it."""
    with context.database().reading() as session:
        found = directory.find_plan(session, name)
        limits = dataclasses.asdict(directory.plan_limits(found))
        owners = session.scalars(select(Account.login).where(Account.plan_id == found.id).order_by(Account.login)).all()
    for limit, value in limits.items():
        click.echo(f"{limit.replace('_', ' ') + ':':<24}{'none' if value is None else f'{value:,}'}")
    click.echo(f"{'accounts:':<24}{', '.join(owners) or 'nobody'}")


@plan.command("try")
@click.argument("name")
@_limit_options
@click.pass_obj
def plan_try(context: Context, /, name: str, **limits: str | None) -> None:
    """Say what other limits would have meant in the last 30 days.

    Changes nothing.
    """
    with context.database().reading() as session:
        found = directory.find_plan(session, name)
        before = directory.plan_limits(found)
        result = plan_trial.run(session, found, before, _changed(before, limits), clock.now())
    if not result.limits:
        raise UserError("no other limit was given; `sendproof plan try --help` lists what can be.")
    click.echo(f"accounts with the plan: {result.accounts:,}")
    click.echo(f"messages refused for its limits in the last {plan_trial.DAYS} days: {result.refused:,}")
    rows = [
        (
            one.name.replace("_", " "),
            _number_text(one.before),
            _number_text(one.after),
            f"{one.most:,}",
            f"{one.over:,}",
            f"{one.accounts:,}",
            ", ".join(one.logins),
        )
        for one in result.limits
    ]
    show_table(("LIMIT", "NOW", "THEN", "MOST USED", "TIMES OVER", "ACCOUNTS", "MOST OF ALL"), rows)


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


def _number_text(value: int | None) -> str:
    return _NO_LIMIT if value is None else f"{value:,}"


def _limits_text(limits: QuotaLimits) -> str:
    set_ones = {name: value for name, value in dataclasses.asdict(limits).items() if value is not None}
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in set_ones.items()) or "none"
