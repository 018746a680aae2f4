"""`sendproof doctor`: is every link of the chain whole? Shows what the checks find; changes nothing that lasts."""

import json
import shutil
import signal
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NoReturn

import click

from sendproof_core import clock
from sendproof_core.commands_context import Context
from sendproof_core.errors import UserError
from sendproof_core.hostile_text import visible
from sendproof_core.wording import counted
from sendproof_postfix import doctor_checks
from sendproof_postfix.doctor import Finding, Severity, counts, exit_status, to_json, worst
from sendproof_postfix.doctor_subject import MailWanted, Subject

_MARKS = {
    Severity.OK: ("ok", "green"),
    Severity.NOTE: ("note", "cyan"),
    Severity.WARNING: ("WARNING", "yellow"),
    Severity.ERROR: ("ERROR", "red"),
    Severity.SKIPPED: ("skipped", "bright_black"),
}
_MARK_WIDTH = max(len(mark) for mark, _ in _MARKS.values()) + 2
_NAME_WIDTH = 18
_WIDEST, _NARROWEST = 120, 60


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="One JSON document, for monitoring (docs/doctor.md).")
@click.option("--no-mail", is_flag=True, help="Send no mail: everything but the last check.")
@click.option("--to", metavar="ADDRESS", help="Send the mail there; else to root here, if Postfix delivers that.")
@click.option("--from", "sender", metavar="ADDRESS", help="Send it from there; else from an address of the account.")
@click.option("--account", metavar="LOGIN", help="Send it as this account, by a credential made for it and revoked.")
@click.option("--login", metavar="CREDENTIAL", help="Send it by this credential, whose password is read.")
@click.option("--password-file", type=click.File("rb"), help='File with its password on one line; "-": standard input.')
@click.option("--wait", type=click.IntRange(1, 3600), default=60, show_default=True, help="Seconds for its transcript.")
@click.option(
    "--config-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Postfix's configuration directory; else that of [postfix].",
)
@click.option("--service-user", metavar="USER", default="sendproof", show_default=True, help="As whom services run.")
@click.pass_obj
def doctor(
    context: Context,
    *,
    as_json: bool,
    no_mail: bool,
    to: str | None,
    sender: str | None,
    account: str | None,
    login: str | None,
    password_file: IO[bytes] | None,
    wait: int,
    config_dir: Path | None,
    service_user: str,
) -> None:
    """Prove each link of the chain, in order, and say what to do where one fails.

    Without --account and --login, the mail is sent by the credential of the notices. The exit status is 0 if nothing
    has to be done, 1 if a warning is the worst, 2 if an error is.
    """
    mail = MailWanted(
        to=_checked(to, "--to"),
        sender=_checked(sender, "--from"),
        account=account,
        login=login,
        password=_password(login, account, password_file),
        wait_seconds=float(wait),
    )
    progress = _Progress(is_shown=sys.stderr.isatty() and not as_json)
    subject = Subject(
        context=context,
        now=clock.now,
        service_user=service_user,
        config_directory=config_dir.absolute() if config_dir else None,
        mail=None if no_mail else mail,
        said=progress.show,
    )
    found: list[Finding] = []
    # A credential that was made is revoked also when somebody has no patience.
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        for finding in doctor_checks.examine(subject):
            found.append(finding)
            progress.clear()
            if not as_json:
                for line in lines(finding, _width()):
                    click.echo(line)
    finally:
        progress.clear()
        signal.signal(signal.SIGTERM, before)
    click.echo(_document(found, subject) if as_json else f"\n{summary(found)}")
    sys.exit(exit_status(found))


def _leave(_number: int, _frame: object) -> NoReturn:
    raise SystemExit(2)


def _document(found: list[Finding], subject: Subject) -> str:
    try:
        host = subject.host
    except UserError:
        host = None
    return json.dumps(to_json(found, host, clock.now()), indent=2, ensure_ascii=True)


def lines(finding: Finding, width: int) -> Iterator[str]:
    """One finding as a terminal shows it: mark, check, sentence; below, what to do, and the evidence."""
    mark, colour = _MARKS[finding.severity]
    indent = " " * (_MARK_WIDTH + _NAME_WIDTH)
    bold = finding.severity in (Severity.ERROR, Severity.WARNING)
    head = click.style(mark.ljust(_MARK_WIDTH), fg=colour, bold=bold) + finding.check.ljust(_NAME_WIDTH)
    first, *rest = _wrapped(finding.said, width - len(indent))
    yield (head + first).rstrip()
    yield from (indent + line for line in rest)
    if finding.remedy:
        for number, line in enumerate(_wrapped(finding.remedy, width - len(indent) - 3)):
            yield indent + click.style(("-> " if number == 0 else "   ") + line, bold=bold)
    # A transcript is wide, a list of names is not.
    fits = all(len(indent) + len(detail) <= width for detail in finding.details)
    for detail in finding.details:
        yield (indent if fits else " " * _MARK_WIDTH) + click.style(visible(detail), dim=True) if detail.strip() else ""


def summary(found: list[Finding]) -> str:
    """The last line."""
    numbers = counts(found)
    parts = [
        counted(numbers[Severity.ERROR], "error"),
        counted(numbers[Severity.WARNING], "warning"),
        counted(numbers[Severity.NOTE], "note"),
        f"{numbers[Severity.OK]} ok",
        f"{numbers[Severity.SKIPPED]} skipped",
    ]

    words = {
        Severity.ERROR: ("The chain is broken", "red"),
        Severity.WARNING: ("The chain holds, and something needs you", "yellow"),
    }.get(worst(found), ("The chain holds", "green"))
    return click.style(f"{words[0]}: {', '.join(parts)}.", fg=words[1], bold=True)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(visible(text), max(width, 20), break_long_words=False, break_on_hyphens=False) or [""]


def _width() -> int:
    return max(_NARROWEST, min(shutil.get_terminal_size((110, 24)).columns, _WIDEST))


def _checked(address: str | None, option: str) -> str | None:
    """An address as it can stand in a header field and in an envelope."""
    if address is not None and not (
        address.isascii() and address.isprintable() and "@" in address and not set(address) & set(" <>,;()")
    ):
        raise UserError(f"{option} must be a mail address such as name@example.net, not {address!r}.")
    return address


def _password(login: str | None, account: str | None, file: IO[bytes] | None) -> str | None:
    if login is None:
        if file is not None:
            raise UserError("--password-file needs --login: whose password is it?")
        return None
    if account is not None:
        raise UserError("--login and --account exclude each other.")
    if file is None:
        raise UserError("--login needs --password-file; - reads the password from standard input.")
    try:
        password = file.readline().decode("ascii").rstrip("\r\n")
    except (UnicodeDecodeError, OSError):
        password = ""
    if not password:
        raise UserError("the file of --password-file holds no password in ASCII on its first line.")
    return password


class _Progress:
    """One line on standard error that changes, where somebody looks."""

    def __init__(self, *, is_shown: bool) -> None:
        self._is_shown = is_shown
        self._is_there = False

    def show(self, text: str) -> None:
        if self._is_shown:
            sys.stderr.write(f"\r\x1b[K{visible(text)} ...")
            sys.stderr.flush()
            self._is_there = True

    def clear(self) -> None:
        if self._is_there:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._is_there = False
