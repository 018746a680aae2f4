"""The `sendproof` command: what an operator does without a browser. Each command is one transaction, or none.

The groups about one subject are in the `commands_` modules; those of other components are found by their entry points,
nothing here imports a component. Passwords and private keys are read from standard input or a file, or made here; they
never stand in an argument.
"""

import importlib.metadata
import os
from collections.abc import Iterable
from pathlib import Path

import click
from sqlalchemy.exc import OperationalError

from sendproof_core.commands_account import account, credential
from sendproof_core.commands_audit import audit
from sendproof_core.commands_context import Context
from sendproof_core.commands_database import database
from sendproof_core.commands_domain import domain
from sendproof_core.commands_page import page
from sendproof_core.commands_plan import plan
from sendproof_core.commands_secrets import secrets
from sendproof_core.commands_status import status
from sendproof_core.commands_transcript import transcript
from sendproof_core.errors import UserError, guarded
from sendproof_core.settings import DEFAULT_PATH

_COMPONENTS_COMMANDS = "sendproof.commands"


@click.group()
@click.option("--config", type=click.Path(path_type=Path), default=DEFAULT_PATH, show_default=True)
@click.pass_context
def root(context: click.Context, config: Path) -> None:
    """Sendproof: delivery transcripts on an existing Postfix."""
    context.obj = Context(config)
    context.call_on_close(context.obj.close)


def mount(group: click.Group, entry_points: Iterable[importlib.metadata.EntryPoint]) -> None:
    """Add the commands of other components; one that is not installed, or not with all it needs, has none."""
    for entry_point in sorted(entry_points, key=lambda one: one.name):
        try:
            command = entry_point.load()
        except ModuleNotFoundError:
            continue
        group.add_command(command, entry_point.name)


for _command in (database, secrets, plan, account, credential, domain, page, audit, status, transcript):
    root.add_command(_command)
mount(root, importlib.metadata.entry_points(group=_COMPONENTS_COMMANDS))


def main() -> None:
    """Entry point."""
    os.umask(0o027)
    guarded(_run)


def _run() -> None:
    try:
        root()
    except OperationalError as error:  # it went away, or somebody else writes for too long
        raise UserError(f"the database does not answer ({error.orig}); try again in a moment.") from None
