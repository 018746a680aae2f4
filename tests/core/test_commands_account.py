import re
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from sendproof_core import directory, passwords
from sendproof_core.database import Database
from sendproof_core.errors import UserError
from sendproof_core.schema import Account, AuditEntry, Credential, MailRequest

Command = Callable[..., str]
_MADE = re.compile(r"\b[0-9a-f]{36}\b")  # 18 random octets; no "-" in front, which programs take for an option


def test_a_password_that_was_made_is_shown_once_and_fits(
    ready: Command, sqlite_database: Database, tmp_path: Path
) -> None:
    output = ready("credential", "add", "max", "telephone", "--label", "telephone")
    (password,) = _MADE.findall(output)
    with sqlite_database.reading() as session:
        stored = session.scalars(select(Credential.secret_hash)).one()
    assert passwords.verify(stored, password)
    assert all(password.encode() not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_password_that_was_given_is_never_shown(ready: Command, sqlite_database: Database) -> None:
    given = "Grüße, ein Passwort ".encode()
    output = ready("credential", "add", "max", "laptop", "--label", "laptop", "--password-stdin", given=given + b"\r\n")
    assert output == "added credential laptop\n"
    with sqlite_database.reading() as session:
        assert passwords.verify(session.scalars(select(Credential.secret_hash)).one(), given.decode())
        assert passwords.verify(session.scalars(select(Account.password_hash)).one(), "a password for the site")


def test_a_revoked_credential_leaves_dovecots_file(ready: Command, tmp_path: Path) -> None:
    ready("credential", "add", "max", "lost", "--label", "lost telephone")
    assert ready("credential", "revoke", "lost") == "revoked credential lost\n"
    assert (tmp_path / "dovecot" / "passwd").read_text() == ""
    with pytest.raises(UserError, match="no credential 'other'"):
        ready("credential", "revoke", "other")


def test_a_credential_is_replaced_where_it_is_another_one(
    ready: Command, sqlite_database: Database, tmp_path: Path
) -> None:
    passwd = tmp_path / "dovecot" / "passwd"

    def replace(password: bytes, label: str = "Notices") -> str:
        words = ("credential", "add", "max", "notices", "--label", label, "--password-stdin", "--replace")
        return ready(*words, given=password)

    assert replace(b"the first") == "added credential notices\n"
    first = passwd.read_text()
    passwd.unlink()  # as if it could not be written
    assert replace(b"the first") == ""
    assert passwd.read_text() == first
    assert replace(b"the second") == "replaced credential notices\n"
    ready("credential", "revoke", "notices")
    assert replace(b"the second") == "replaced credential notices\n"
    assert replace(b"the second", "Mail") == "replaced credential notices\n"
    assert replace(b"the second", "Mail") == ""
    with sqlite_database.reading() as session:
        found = session.scalars(select(Credential)).one()
        assert passwords.verify(found.secret_hash, "the second")
        assert not passwords.verify(found.secret_hash, "the first")
        assert found.label == "Mail"
        assert passwd.read_text() == directory.passwd_file(session) != ""
        events = session.scalars(select(AuditEntry.event).order_by(AuditEntry.id)).all()
    of_credentials = [event.removeprefix("credential ") for event in events if event.startswith("credential ")]
    assert of_credentials == ["added", "replaced", "revoked", "replaced", "replaced"]


def test_a_credential_of_another_account_is_not_replaced(ready: Command, tmp_path: Path) -> None:
    ready("account", "add", "eva", "--plan", "personal")
    ready("credential", "add", "max", "phone", "--label", "Phone")
    before = (tmp_path / "dovecot" / "passwd").read_text()
    with pytest.raises(UserError, match="the credential 'phone' is another account's"):
        ready("credential", "add", "eva", "phone", "--label", "Phone", "--replace")
    assert (tmp_path / "dovecot" / "passwd").read_text() == before


def test_a_suspended_account_is_marked_with_its_reason_and_can_be_reinstated(
    ready: Command, sqlite_database: Database
) -> None:
    ready("account", "suspend", "max", "--reason", "unpaid")
    with sqlite_database.reading() as session:
        account = session.scalars(select(Account)).one()
        assert (account.suspended_at is not None, account.suspended_reason) == (True, "unpaid")
    ready("account", "reinstate", "max")
    with sqlite_database.reading() as session:
        assert session.scalars(select(Account)).one().suspended_at is None


def test_dovecots_file_that_could_not_be_written_is_said_and_written_later(ready: Command, tmp_path: Path) -> None:
    passwd = tmp_path / "dovecot" / "passwd"
    passwd.mkdir()  # in the way
    with pytest.raises(UserError, match="sendproof credential sync"):
        ready("credential", "add", "max", "laptop", "--label", "laptop")
    passwd.rmdir()
    assert ready("credential", "sync") == f"wrote {passwd}\n"
    assert passwd.read_text().startswith("laptop:{ARGON2ID}")


@pytest.mark.parametrize("label", ["", " ", "x" * 101, "two\nlines"])
def test_a_label_that_no_database_takes_is_refused(ready: Command, label: str) -> None:
    with pytest.raises(UserError, match="printable characters"):
        ready("credential", "add", "max", "laptop", "--label", label)


def test_a_notice_address_that_is_none_is_refused(ready: Command) -> None:
    with pytest.raises(UserError, match="no mail address"):
        ready("account", "add", "eva", "--plan", "personal", "--notice-address", "nowhere")


def test_an_account_is_changed_in_what_was_given_only(ready: Command, sqlite_database: Database) -> None:
    ready("plan", "add", "large")
    ready("account", "change", "max", "--tracking", "--shared-pixel", "--tracking-image", "logo.png", "--test-mode")
    ready("account", "change", "max", "--plan", "large", "--time-zone", "Asia/Tokyo")
    with sqlite_database.reading() as session:
        account = session.scalars(select(Account)).one()
        assert (account.tracking, account.shared_pixel, account.tracking_image) == (True, True, "logo.png")
        assert (account.test_mode, account.time_zone) == (True, "Asia/Tokyo")
    ready("account", "change", "max", "--no-tracking", "--pixel-each", "--tracking-image", "none", "--live")
    with sqlite_database.reading() as session:
        account = session.scalars(select(Account)).one()
        assert (account.tracking, account.shared_pixel, account.tracking_image) == (False, False, None)
        assert (account.test_mode, account.time_zone) == (False, "Asia/Tokyo")


def test_a_notice_address_can_be_taken_away(ready: Command, sqlite_database: Database) -> None:
    ready("account", "change", "max", "--notice-address", "max@own.example")
    ready("account", "change", "max", "--notice-address", "none")
    with sqlite_database.reading() as session:
        assert session.scalars(select(Account.notice_address)).one() is None


def test_a_change_of_nothing_is_said_so(ready: Command) -> None:
    with pytest.raises(UserError, match="nothing to change was given"):
        ready("account", "change", "max")


def test_the_list_says_of_every_account_what_it_may_do(ready: Command) -> None:
    ready("account", "add", "eva", "--plan", "personal")
    ready("account", "suspend", "eva", "--reason", "unpaid")
    ready("account", "change", "max", "--tracking", "--shared-pixel", "--test-mode")
    ready("domain", "add", "own.example", "--account", "max", "--no-key")
    ready("domain", "add", "other.example", "--account", "max", "--no-key", "--unproved")
    assert ready("account", "address-add", "max", "max@web.example") == "max may send as max@web.example\n"
    assert ready("account", "list").splitlines() == [
        "ACCOUNT  PLAN      STATE              TRACKING      SENDS AS",
        "eva      personal  suspended: unpaid  no            nothing yet",
        "max      personal  test mode          shared pixel  other.example (once it is proved), own.example, "
        "max@web.example",
    ]
    assert "not send as" in ready("account", "address-remove", "max", "max@web.example")
    assert "web.example" not in ready("account", "list")


def test_without_an_account_the_list_says_so(sendproof: Command, sqlite_database: Database) -> None:
    del sqlite_database
    assert sendproof("account", "list") == "there is no account yet; `sendproof account add` makes one\n"


def test_a_password_that_everybody_tries_first_is_refused(ready: Command) -> None:
    with pytest.raises(UserError, match="too short"):
        ready("account", "add", "eva", "--plan", "personal", "--password-stdin", given=b"short\n")
    with pytest.raises(UserError, match="easy to guess"):
        ready("account", "add", "eva", "--plan", "personal", "--password-stdin", given=b"passwordpassword\n")


def test_an_invited_person_chooses_the_password(ready: Command, sqlite_database: Database) -> None:
    output = ready("account", "add", "eva", "--plan", "personal", "--invite", "--address", "eva@mail.example")
    assert output == "added account eva; the link to choose its password is mailed to eva@mail.example\n"
    with sqlite_database.reading() as session:
        (letter,) = session.scalars(select(MailRequest)).all()
        assert (letter.kind, letter.to_address) == ("invitation", "eva@mail.example")
        assert session.scalar(select(Account.address).where(Account.login == "eva")) is None
    with pytest.raises(UserError, match="needs the --address"):
        ready("account", "add", "zoe", "--plan", "personal", "--invite")


def test_a_provider_is_made_and_unmade(ready: Command) -> None:
    ready("account", "add", "boss", "--plan", "personal", "--provider", "--address", "boss@mail.example")
    assert "role:            provider" in ready("account", "show", "boss")
    ready("account", "change", "boss", "--customer", "--address", "none")
    shown = ready("account", "show", "boss")
    assert "role:            customer" in shown
    assert "address:         none" in shown


def test_an_account_is_shown_with_its_use_and_credentials(ready: Command) -> None:
    ready("credential", "add", "max", "phone", "--label", "Phone")
    shown = ready("account", "show", "max")
    assert "plan:            personal" in shown
    assert "credential:      phone (Phone), last used never" in shown
    assert "used:            0 of 200, recipients per day;" in shown
    assert "used:            0 no limit, messages per hour;" in shown


def test_accounts_are_found_by_a_part_of_what_is_theirs(ready: Command) -> None:
    ready("account", "change", "max", "--address", "max@mail.example")
    assert "max@mail.example" in ready("account", "find", "MAIL")
    assert ready("account", "find", "MAIL", "--which", "suspended") == (
        "no account has that in its login, address, domains or credentials\n"
    )


def test_credentials_are_listed_without_those_that_were_revoked(ready: Command) -> None:
    assert "no credential yet" in ready("credential", "list")
    for login in ("phone", "lost"):
        ready("credential", "add", "max", login, "--label", login.title())
    ready("credential", "revoke", "lost")
    assert [line.split() for line in ready("credential", "list", "max").splitlines()[1:]] == [
        ["phone", "max", "never", "Phone"]
    ]
    assert "lost        max      revoked" in ready("credential", "list", "--revoked")
