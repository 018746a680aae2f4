"""`sendproof postfix`: what we need of Postfix, shown, put in place and taken back. Decides nothing."""

import difflib
import json
import shutil
import textwrap
from pathlib import Path
from typing import Any

import click

from sendproof_core.commands_context import Context
from sendproof_core.errors import UserError
from sendproof_core.hostile_text import visible
from sendproof_postfix import apply as applying
from sendproof_postfix import plan as planning
from sendproof_postfix import postconf, wanted
from sendproof_postfix.decisions import Conflict
from sendproof_postfix.plan import Change, Instance, Plan
from sendproof_postfix.wanted import Place

# What `plan` ends with; a plan that cannot be carried out ends as every error does, with 2.
_NOTHING_TO_DO, _CHANGES = 0, 1

_config_dir = click.option(
    "--config-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Another instance's configuration directory (postmulti); default: [postfix] config_directory.",
)
_as_json = click.option("--json", "as_json", is_flag=True, help="For other programs.")
_reload = click.option("--reload/--no-reload", default=True, show_default=True, help="Have a running Postfix read it.")


@click.group()
def postfix() -> None:
    """Sendproof's settings in a Postfix that is there."""


@postfix.command("plan")
@_config_dir
@_as_json
@click.option("--diff", "as_diff", is_flag=True, help="As a difference of the files.")
@click.pass_obj
def plan(context: Context, config_dir: Path | None, as_json: bool, as_diff: bool) -> None:
    """Show what would change. Exit status: 0 nothing to do, 1 changes, 2 not possible."""
    instance = Instance.of(context.file, config_dir)
    found = planning.plan(instance)
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=1))
    elif as_diff:
        _show_difference(found)
    else:
        _show(found)
        if config_dir is None:
            _name_other_instances(instance)
    raise SystemExit(UserError.EXIT_STATUS if found.fatal else _CHANGES if found.changes else _NOTHING_TO_DO)


@postfix.command("apply")
@_config_dir
@_as_json
@_reload
@click.pass_obj
def apply(context: Context, config_dir: Path | None, as_json: bool, reload: bool) -> None:
    """Put it in place. A second time, there is nothing to do."""
    try:
        done = applying.apply(Instance.of(context.file, config_dir), reload=reload)
    except applying.Blocked as blocked:
        if as_json:
            click.echo(json.dumps(blocked.plan.as_json(), indent=1))
        else:
            _show(blocked.plan)
        raise SystemExit(UserError.EXIT_STATUS) from None
    if done.plan is None:
        raise AssertionError("apply has a plan")
    if as_json:
        click.echo(json.dumps({**done.plan.as_json(), "notes": list(done.notes), "reloaded": done.reloaded}, indent=1))
        return
    _show(done.plan, with_reasons=False)
    for note in done.notes:
        if note not in done.plan.notes:
            _paragraph(note, "  ")
    if done.changed:
        click.echo(
            "done; `sendproof postfix revert` takes it back." + (" Postfix was reloaded." if done.reloaded else "")
        )
    elif done.reloaded:
        click.echo("Postfix was reloaded, which had not been done yet.")


@postfix.command("revert")
@_config_dir
@_as_json
@_reload
@click.pass_obj
def revert(context: Context, config_dir: Path | None, as_json: bool, reload: bool) -> None:
    """Give the configuration back as it was."""
    done = applying.revert(Instance.of(context.file, config_dir), reload=reload)
    if as_json:
        click.echo(
            json.dumps({"changed": done.changed, "notes": list(done.notes), "reloaded": done.reloaded}, indent=1)
        )
        return
    for note in done.notes:
        _paragraph(note, "")
    if not done.changed:
        click.echo("nothing to do: nothing of Sendproof's is in place.")
    else:
        click.echo(
            "Postfix's configuration is as it was." if done.as_it_was else "Sendproof's settings are taken back."
        )


@postfix.command("show")
@click.argument("name", type=click.Choice(wanted.names()))
@_config_dir
@click.pass_obj
def show(context: Context, name: str, config_dir: Path | None) -> None:
    """Print a template as it is filled in on this machine."""
    instance = Instance.of(context.file, config_dir)
    place = Place(config_directory=instance.config_directory, milter_socket=str(instance.milter_socket))
    variables = wanted.variables(instance.settings, place)
    queue = Path(postconf.queue_directory(instance.config_directory))
    dovecot = wanted.dovecot_variables(instance.settings, instance.passwd_file, [queue / instance.settings.sasl_socket])
    click.echo(wanted.rendered(name, {**variables, **dovecot}), nl=False)


def _show(found: Plan, *, with_reasons: bool = True) -> None:
    click.echo(f"Postfix {visible(found.version)}, {found.instance.config_directory}")
    for note in found.notes:
        _paragraph(note, "  ")
    place = ""
    said = {""} if with_reasons else {change.reason for change in found.changes}
    for change in found.changes:
        file, _, setting = change.where.partition(" ")
        if file != place:
            click.echo(f"\n{click.style(file, bold=True)}")
            place = file
        _show_change(change, setting, with_reasons)
        if change.reason not in said:
            _paragraph(change.reason, "        ", dim=True)
            said.add(change.reason)
    _show_conflicts("In the way; nothing is changed before", "red", found.fatal)
    _show_conflicts("Left to you", "yellow", tuple(one for one in found.conflicts if not one.fatal))
    if not found.changes and not found.fatal:
        click.echo("nothing to do." if not found.conflicts else "\nnothing to do.")


def _show_conflicts(title: str, colour: str, conflicts: tuple[Conflict, ...]) -> None:
    if conflicts:
        click.echo(f"\n{click.style(title, bold=True)}")
    for one in conflicts:
        found = f" is {visible(one.found)!r}" if one.found else ""
        needed = f", needed: {visible(one.needed)}" if one.needed else ""
        click.echo(f"  {click.style('!', fg=colour)} {visible(one.where)}{found}{needed}")
        _paragraph(one.why, "        ", dim=True)


def _show_change(change: Change, setting: str, with_options: bool) -> None:
    parts = [("-", "red", change.before), ("+", "green", change.after)]
    for sign, colour, value in parts:
        if value is None:
            continue
        is_service = setting.count("/") == 1
        first, *options = visible(value).split(" -o ") if is_service else [visible(value) or "(empty)"]
        left = f"{setting} = " if setting and not is_service else ""
        click.echo(f"  {click.style(f'{sign} {left}{first}', fg=colour)}")
        if options and not with_options:
            click.secho(f"      with {len(options)} options", fg=colour)
            continue
        for option in options:
            click.echo(f"      {click.style(f'-o {option}', fg=colour)}")


def _show_difference(found: Plan) -> None:
    for path, now, then in applying.difference(found):
        before, after = (text.decode("utf-8", "replace").splitlines() for text in (now, then))
        for line in difflib.unified_diff(before, after, str(path), str(path), lineterm=""):
            colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
            click.secho(visible(line), fg=colour)


def _name_other_instances(instance: Instance) -> None:
    others = [name for name in postconf.instances() if Path(name).resolve() != instance.config_directory]
    if others:
        click.echo(f"\nother instances (--config-dir): {', '.join(visible(name) for name in others)}")


def _paragraph(text: str, indent: str, **style: Any) -> None:
    width = max(40, min(110, shutil.get_terminal_size().columns))
    for line in textwrap.wrap(visible(text), width, initial_indent=indent, subsequent_indent=indent):
        click.secho(line, **style)
