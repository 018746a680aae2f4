"""`sendproof domain`: domains, their DKIM keys, and the records to publish. Asks no DNS.

A private key is read from a file or from standard input, never from an argument, and is never shown.
"""

import datetime as dt
import json
import sys
from pathlib import Path

import click

from sendproof_core import clock, directory, dkim_keys, key_rotation
from sendproof_core.commands_context import Context, show_table
from sendproof_core.directory import DnsRecord
from sendproof_core.errors import UserError
from sendproof_core.schema import Account, DkimKey, Domain
from sendproof_core.states import KeyState

_LONGEST_KEY_FILE = 65_537  # one octet more than a key may have


@click.group()
def domain() -> None:
    """Domains and their DKIM keys."""


@domain.command("add")
@click.argument("name")
@click.option("--account", "account_login", help="Leave out for the provider's own domain.")
@click.option("--selector", default="sp1", show_default=True)
@click.option("--active/--pending", default=False, show_default=True, help="Whether the key signs at once.")
@click.option("--ed25519", is_flag=True, help="An Ed25519 key beside the RSA one, with the selector SELECTOR-ed25519.")
@click.option("--no-key", is_flag=True, help="Make no RSA key, for `import-key`.")
@click.option("--proved/--unproved", default=True, show_default=True, help="Whether the account was seen to own it.")
@click.pass_obj
def domain_add(
    context: Context,
    name: str,
    *,
    account_login: str | None,
    selector: str,
    active: bool,
    ed25519: bool,
    no_key: bool,
    proved: bool,
) -> None:
    """Add a domain, with an RSA-2048 key.

    Shows the record to publish.
    """
    state = KeyState.ACTIVE if active else KeyState.PENDING
    wanted = [] if no_key else [(selector, dkim_keys.RSA_SHA256)]
    if ed25519:
        wanted.append((f"{selector}-ed25519", dkim_keys.ED25519_SHA256))
    now = clock.now()
    with context.database().writing() as session:
        owner = directory.find_account(session, account_login) if account_login else None
        added = directory.add_domain(session, name, owner, now, proved=proved)
        keys = [
            directory.add_dkim_key(
                session, added, selector=chosen, secrets=context.secrets, state=state, now=now, algorithm=algorithm
            )
            for chosen, algorithm in wanted
        ]
        records = [directory.dkim_record(added, key) for key in keys]
        ascii_name = added.name
    if not records:
        click.echo(f"added domain {ascii_name}; it has no key yet")
    for record in records:
        _show_record(record)


@domain.command("show")
@click.argument("name")
@click.pass_obj
def domain_show(context: Context, name: str) -> None:
    """Show the keys, and what to do next."""
    now = clock.now()
    with context.database().reading() as session:
        found = directory.find_domain(session, name)
        owner = session.get(Account, found.account_id) if found.account_id is not None else None
        whose = f"of account {owner.login}" if owner else "the provider's"
        proved = f"proved {found.proved_at:%Y-%m-%d}" if found.proved_at else "not proved yet"
        click.echo(f"{found.name}: {whose}, {proved}")
        keys = directory.keys_of(session, found)
        rows = [
            (key.selector, key.algorithm, key.state, f"{key.state_since:%Y-%m-%d}", _next_step(found, key, now))
            for key in keys
        ]
        if not rows:
            click.echo(f"it has no key; `sendproof domain rotate {found.name}` makes one")
            return
    show_table(("SELECTOR", "ALGORITHM", "STATE", "SINCE", "NEXT"), rows)


@domain.command("prove")
@click.argument("name")
@click.pass_obj
def domain_prove(context: Context, name: str) -> None:
    """Let the account send as its addresses.

    After it was seen to own the domain.
    """
    with context.database().writing() as session:
        found = directory.find_domain(session, name)
        directory.prove_domain(found, clock.now())
        line = f"{found.name} is proved since {found.proved_at:%Y-%m-%d}"
    click.echo(line)


@domain.command("rotate")
@click.argument("name")
@click.option("--ed25519", is_flag=True, help="An Ed25519 key also where the domain has none yet.")
@click.pass_obj
def domain_rotate(context: Context, name: str, *, ed25519: bool) -> None:
    """Make the next keys, pending.

    One of each algorithm in use, beside the ones that sign. Shows the records to publish. Makes none where one is
    pending.
    """
    also = (dkim_keys.ED25519_SHA256,) if ed25519 else ()
    with context.database().writing() as session:
        found = directory.find_domain(session, name)
        made = directory.rotate_domain(session, found, context.secrets, clock.now(), also=also)
        records = [directory.dkim_record(found, key) for key in made]
        commands = [f"sendproof domain activate {found.name} {key.selector}" for key in made]
    for record in records:
        _show_record(record)
    click.echo("; publish, wait until every name server answers with it, then run:")
    for command in commands:
        click.echo(f";   {command}")


@domain.command("activate")
@click.argument("name")
@click.argument("selector")
@click.pass_obj
def domain_activate(context: Context, name: str, selector: str) -> None:
    """Let a pending key sign.

    After its record was published. The key that signed until now is retiring from then on; it can be activated again.
    """
    now = clock.now()
    with context.database().writing() as session:
        found = directory.find_domain(session, name)
        before = directory.activate_key(session, found, selector, now)
        lines = [f"{selector}._domainkey.{found.name} signs now"]
        if before is not None:
            until = key_rotation.retire_from(now)
            lines.append(f"{before.selector} is retiring: leave its record published until {until:%Y-%m-%d}")
    for line in lines:
        click.echo(line)


# What looks like an option may be a key's text: click would repeat it.
@domain.command("import-key", context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("selector")
@click.argument("file", default="-")
@click.pass_obj
def domain_import_key(context: Context, name: str, selector: str, file: str) -> None:
    """Take a key that another program made.

    The private key in PEM form, from a file or standard input. It is pending then.
    """
    pem = _read_key_file(file)
    with context.database().writing() as session:
        found = directory.find_domain(session, name)
        key = directory.import_key(session, found, selector=selector, pem=pem, secrets=context.secrets, now=clock.now())
        record, ascii_name = directory.dkim_record(found, key), found.name
    _show_record(record)
    click.echo("; once this record is published, the same as before or new, run:")
    click.echo(f";   sendproof domain activate {ascii_name} {selector}")


@domain.command("retire")
@click.argument("name")
@click.argument("selector")
@click.option("--force", is_flag=True, help="Also the last key that signs, and before 14 days are over.")
@click.pass_obj
def domain_retire(context: Context, name: str, selector: str, *, force: bool) -> None:
    """Move a key one step towards retired.

    A key that signs becomes retiring, a retiring or pending one is retired.
    """
    now = clock.now()
    with context.database().writing() as session:
        found = directory.find_domain(session, name)
        key = directory.retire_key(session, found, selector, now, forced=force)
        line = f"{selector} of {found.name} is {key.state}: {_next_step(found, key, now)}"
        retired = directory.dkim_record(found, key) if key.state == KeyState.RETIRED.value else None
    click.echo(line)
    if retired is not None:
        _show_record(retired)


@domain.command("records")
@click.argument("name")
@click.pass_obj
def domain_records(context: Context, name: str) -> None:
    """Show the DNS records of all keys.

    In a form that zone files take; of retired keys the records that revoke them.
    """
    with context.database().reading() as session:
        found = directory.find_domain(session, name)
        records = [directory.dkim_record(found, key) for key in directory.keys_of(session, found)]
    for record in records:
        _show_record(record)


def _show_record(record: DnsRecord) -> None:
    strings = " ".join(json.dumps(string) for string in record.strings)
    click.echo(f"{record.name}. IN {record.type} ( {strings} )")


def _next_step(found: Domain, key: DkimKey, now: dt.datetime) -> str:
    state = KeyState(key.state)
    return key_rotation.next_step(state, key.state_since, now, domain=found.name, selector=key.selector)


def _read_key_file(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read(_LONGEST_KEY_FILE)
    if "PRIVATE KEY" in name:  # it would stand in the error
        raise UserError("a key's text is no argument; give its file, or put it on standard input.")
    path = Path(name)
    try:
        if not path.is_file():
            raise UserError(f"{path} is no file; name the file of the private key.")
        with path.open("rb") as file:
            return file.read(_LONGEST_KEY_FILE)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); name the file of the private key.") from None
