"""`sendproof secrets`: the files that protect everything else. Shows no secret."""

import click

from sendproof_core import directory
from sendproof_core.commands_context import Context


@click.group()
def secrets() -> None:
    """The keys that protect everything else."""


@secrets.command("create")
@click.pass_obj
def secrets_create(context: Context) -> None:
    """Make the secret files that are missing; what exists stays."""
    made = context.secrets.create()
    for path in made:
        click.echo(f"made {path}: keep a copy in a safe place")
    if not made:
        click.echo("every secret file is there already")


@secrets.command("rotate")
@click.option(
    "--prepare",
    is_flag=True,
    help="Only make the next key-encryption key, so that other machines, and services with systemd credentials, can "
    "get it before it is used.",
)
@click.pass_obj
def secrets_rotate(context: Context, *, prepare: bool) -> None:
    """Make a new key-encryption key.

    Every DKIM key is sealed anew with it. The old one stays in the file until the next rotation.
    """
    store = context.secrets
    if prepare:
        made = store.prepare_rotation()
        click.echo("made the next key-encryption key" if made else "the next key-encryption key is there already")
        click.echo("copy key-encryption.key to every machine, restart services that get it from systemd, then run:")
        click.echo("  sendproof secrets rotate")
        return
    with context.database().writing() as session:
        count = directory.rotate_key_encryption(session, store)
    click.echo(f"DKIM keys sealed anew with a new key-encryption key: {count}")
    click.echo("the file keeps the old key until the next rotation, so that nothing that runs breaks;")
    click.echo("keep a copy of key-encryption.key in a safe place: backups from before open with the old key only")


@secrets.command("add-token-key")
@click.pass_obj
def secrets_add_token_key(context: Context) -> None:
    """Make the next key of pixel tokens.

    Tokens made with the ones before stay good.
    """
    path = context.secrets.add_token_key()
    click.echo(f"made {path}: copy it to every machine, restart the site, then the milter")
