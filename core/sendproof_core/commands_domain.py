"""`sendproof domain`: domains, their DKIM keys, and the records to publish. Only `check` asks DNS.

A private key is read from a file or from standard input, never from an argument, and is never shown.
"""

import datetime as dt
import json
import sys
from pathlib import Path

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from sendproof_core import audit, clock, directory, dkim_keys, domain_directory, domain_names, key_rotation
from sendproof_core.commands_context import Context, show_table
from sendproof_core.directory import DnsRecord
from sendproof_core.domain_directory import OwnDomain, Settled
from sendproof_core.domain_records import Verdict
from sendproof_core.errors import UserError
from sendproof_core.hostile_text import visible
from sendproof_core.schema import Account, DkimKey, Domain
from sendproof_core.settings import DnsSettings
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
        _audit(session, "domain added", added, now, proved=proved)
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
        found, now = directory.find_domain(session, name), clock.now()
        if found.proved_at is None:
            _audit(session, "domain proved", found, now)
        directory.prove_domain(found, now)
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
        found, now = directory.find_domain(session, name), clock.now()
        made = directory.rotate_domain(session, found, context.secrets, now, also=also)
        _audit(session, "keys made", found, now, selectors=[key.selector for key in made])
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
        _audit(session, "key activated", found, now, selector=selector)
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
        found, now = directory.find_domain(session, name), clock.now()
        key = directory.import_key(session, found, selector=selector, pem=pem, secrets=context.secrets, now=now)
        _audit(session, "key imported", found, now, selector=selector)
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
        _audit(session, "key retired", found, now, selector=selector, state=key.state)
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


@domain.command("list")
@click.pass_obj
def domain_list(context: Context) -> None:
    """Show every domain, and what accounts claim and have not proved."""
    with context.database().reading() as session:
        found = domain_directory.everything(session)
        owners = {row.id: row.login for row in session.execute(select(Account.id, Account.login))}
    rows = [
        (own.name, _owner(own, owners), _proof(own), f"{own.checked.at:%Y-%m-%d %H:%M}" if own.checked else "never")
        for own in found
    ]
    if not rows:
        click.echo("there is no domain yet; `sendproof domain add` makes one")
        return
    show_table(("DOMAIN", "ACCOUNT", "STATE", "CHECKED (UTC)"), rows)


@domain.command("check")
@click.argument("name", required=False)
@click.option("--all", "check_all", is_flag=True, help="Every domain and claim, one line for each: for a timer.")
@click.pass_obj
def domain_check(context: Context, name: str | None, *, check_all: bool) -> None:
    """Look at a domain in DNS, and keep what was seen.

    A claim whose record is there is proved by that; pending keys whose records are there begin to sign.
    """
    # Here, because it brings the resolver, which the other commands do without.
    from sendproof_core import domain_review

    if check_all == (name is not None):
        raise UserError("name one domain, or give --all.")
    ascii_name = None if name is None else _ascii(name)
    database, dns_settings = context.database(), context.file.table(DnsSettings)
    with database.reading() as session:
        everything = domain_directory.everything(session)
        owners = {row.id: row.login for row in session.execute(select(Account.id, Account.login))}
    wanted = everything if name is None else [own for own in everything if own.name == ascii_name]
    if name is not None and not wanted:
        raise UserError(f"there is no domain {name}; `sendproof domain list` shows all.")
    for own in wanted:
        settled = domain_review.review(
            database, own, dns_settings=dns_settings, secrets=context.secrets, actor=audit.COMMAND, now=clock.now()
        )
        with database.reading() as session:
            seen = domain_directory.find(session, own.account_id, own.name)
        if seen is not None:
            _show_check(seen, _owner(own, owners), settled, is_short=check_all)


@domain.command("zone")
@click.pass_obj
def domain_zone(context: Context) -> None:
    """Show the records of your zone of customers' keys.

    What `[dns] dkim_zone` holds, in a form that zone files take; put a SOA and NS records before them.
    """
    zone = context.file.table(DnsSettings).dkim_zone
    if zone is None:
        raise UserError("[dns] dkim_zone names no zone; set it, or let customers publish their keys themselves.")
    with context.database().reading() as session:
        records = domain_directory.zone_records(session, zone)
    for record in records:
        _show_record(record)


def _show_check(own: OwnDomain, owner: str, settled: Settled, *, is_short: bool) -> None:
    findings = own.checked.findings if own.checked else ()
    said = "" if settled is Settled.AS_BEFORE else f", {settled.value}"
    troubles = [f"{item.subject.value} {item.verdict.value}" for item in findings if item.verdict is not Verdict.GOOD]
    if is_short:
        click.echo(f"{own.name} of {owner}: {_proof(own)}{said}: {', '.join(troubles) or 'all good'}")
        return
    click.echo(f"{own.name} of {owner}: {_proof(own)}{said}")
    rows = [
        (
            item.subject.value,
            item.verdict.value,
            item.problem.value,
            item.name,
            visible("; ".join(item.seen)) or "nothing",
        )
        for item in findings
    ]
    show_table(("RECORD", "VERDICT", "WHY", "NAME", "SEEN"), rows)
    for item in findings:
        if item.wanted is not None and item.verdict in (Verdict.MISSING, Verdict.WRONG):
            click.echo(f"should be: {item.name} {item.type} {visible(item.wanted)}")


def _owner(own: OwnDomain, owners: dict[int, str]) -> str:
    return "the provider" if own.account_id is None else owners.get(own.account_id, "?")


def _proof(own: OwnDomain) -> str:
    if own.account_id is None:
        return "the provider's"
    return "proved" if own.is_proved else "not proved"


def _ascii(name: str) -> str:
    try:
        return domain_names.to_ascii(name)
    except ValueError:
        raise UserError(f"{name!r} is no domain name.") from None


def _audit(session: Session, event: str, found: Domain, now: dt.datetime, **details: object) -> None:
    described = {"domain": found.name, **details}
    audit.record(session, event, audit.COMMAND, now, account_id=found.account_id, details=described)


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
