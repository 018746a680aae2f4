import datetime as dt
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from sendproof_core import audit, directory, passwords, site_accounts, site_links
from sendproof_core.audit import Actor
from sendproof_core.database import Database
from sendproof_core.errors import UserError
from sendproof_core.mail_requests import Letter
from sendproof_core.schema import Account, AuditEntry, MailRequest, RecoveryCode, SiteLink, SiteSession
from sendproof_core.secrets_store import SecretsStore
from sendproof_core.states import LinkPurpose
from sendproof_testing import sample_record

KEY = b"k" * 32
NOW = sample_record.SENT_AT
EVA = Actor(9, "eva", "192.0.2.7")


@pytest.fixture
def database(either_database: Database) -> Database:
    with either_database.writing() as session:
        sample_record.fill(session)
        sample_record.add_people(session)
    return either_database


@pytest.fixture
def sqlite(sqlite_database: Database) -> Database:
    with sqlite_database.writing() as session:
        sample_record.fill(session)
        sample_record.add_people(session)
    return sqlite_database


def letters(database: Database) -> list[tuple[str, str]]:
    with database.reading() as session:
        return [(one.kind, one.to_address) for one in session.scalars(select(MailRequest).order_by(MailRequest.id))]


def events(database: Database) -> list[str]:
    with database.reading() as session:
        return list(session.scalars(select(AuditEntry.event).order_by(AuditEntry.id)))


def test_a_reset_link_goes_to_the_confirmed_address(database: Database) -> None:
    with database.writing() as session:
        eva = session.scalars(select(Account).where(Account.login == "eva")).one()
        link = site_accounts.ask_reset(session, eva, audit.COMMAND, NOW)
        assert site_accounts.account_of_reset(session, link) is eva
    assert letters(database) == [(Letter.RESET, "eva@eva.example")]
    assert events(database) == ["reset asked"]


def test_without_a_confirmed_address_a_reset_link_can_only_be_handed_over(sqlite: Database) -> None:
    with sqlite.writing() as session:
        max_ = session.scalars(select(Account).where(Account.login == "max")).one()
        with pytest.raises(UserError, match="no confirmed mail address"):
            site_accounts.ask_reset(session, max_, audit.COMMAND, NOW)
        link = site_accounts.ask_reset(session, max_, audit.COMMAND, NOW, mailed=False)
        assert site_accounts.account_of_reset(session, link) is max_
    assert letters(sqlite) == []


def test_a_reset_link_of_the_address_before_is_nobodys(sqlite: Database) -> None:
    with sqlite.writing() as session:
        eva = session.scalars(select(Account).where(Account.login == "eva")).one()
        link = site_accounts.ask_reset(session, eva, audit.COMMAND, NOW)
        site_accounts.confirm_address(session, eva, "eva@new.example", EVA, NOW)
        assert site_accounts.account_of_reset(session, link) is None


def test_another_address_is_told_to_the_one_before_and_notices_follow(database: Database) -> None:
    with database.writing() as session:
        eva = session.scalars(select(Account).where(Account.login == "eva")).one()
        eva.notice_address = "EVA@eva.example"
        site_accounts.ask_address(session, eva, "eva@new.example", EVA, NOW)
        assert eva.address == "eva@eva.example"
        site_accounts.confirm_address(session, eva, "eva@new.example", EVA, NOW)
        assert (eva.address, eva.address_key, eva.notice_address) == ("eva@new.example",) * 3
        assert [one.login for one in site_accounts.accounts_at(session, "Eva@NEW.example")] == ["eva"]
    assert letters(database) == [
        (Letter.CONFIRM_ADDRESS, "eva@new.example"),
        (Letter.ADDRESS_CHANGED, "eva@eva.example"),
    ]
    assert events(database) == ["address change asked", "address changed"]


def test_a_first_address_is_told_to_nobody(sqlite: Database) -> None:
    with sqlite.writing() as session:
        max_ = session.scalars(select(Account).where(Account.login == "max")).one()
        site_accounts.confirm_address(session, max_, "max@new.example", audit.COMMAND, NOW)
        assert max_.notice_address is None
    assert letters(sqlite) == []


def test_what_is_no_address_is_refused(sqlite: Database) -> None:
    with sqlite.writing() as session:
        eva = session.scalars(select(Account).where(Account.login == "eva")).one()
        with pytest.raises(UserError, match="no mail address"):
            site_accounts.ask_address(session, eva, "eva@new.example\nBcc: all@list.example", EVA, NOW)


def begin_session(database: Database, login: str, number: int) -> int:
    with database.writing() as session:
        row = SiteSession(
            token_hash=bytes([number]) * 32,
            account_id=session.scalars(select(Account.id).where(Account.login == login)).one(),
            created_at=NOW,
            last_seen_at=NOW,
            authenticated_at=NOW,
            client_address="192.0.2.7",
            user_agent="",
        )
        session.add(row)
        session.flush()
        return row.id


def test_a_new_password_ends_the_sessions_and_the_links_of_that_account(database: Database) -> None:
    kept, _ended, boss = (begin_session(database, login, n) for n, login in enumerate(("eva", "eva", "boss"), 1))
    with database.writing() as session:
        eva = session.scalars(select(Account).where(Account.login == "eva")).one()
        link_id = site_accounts.ask_reset(session, eva, audit.COMMAND, NOW).id
        password_hash = passwords.hash_site_password("another good password")
        site_accounts.change_password(session, eva, password_hash, EVA, NOW, keep_session_id=kept)
        still_open = session.scalars(select(SiteSession.id).where(SiteSession.ended_at.is_(None)))
        assert set(still_open) == {kept, boss}
        token = site_links.token(link_id, LinkPurpose.RESET, KEY)
        assert site_links.find(session, token, LinkPurpose.RESET, KEY, NOW) is None
        assert passwords.verify(eva.password_hash, "another good password")
    assert letters(database)[-1] == (Letter.PASSWORD_CHANGED, "eva@eva.example")
    with database.reading() as session:
        told = session.scalars(select(MailRequest).order_by(MailRequest.id.desc())).first()
        assert told
        assert told.data == {"login": "eva", "client_address": "192.0.2.7"}


def test_without_the_second_factor_its_codes_are_gone_too(sqlite: Database) -> None:
    with sqlite.writing() as session:
        eva = session.scalars(select(Account).where(Account.login == "eva")).one()
        assert not site_accounts.turn_second_factor_off(session, eva, EVA, NOW)
        eva.totp_sealed, eva.totp_since, eva.totp_last_step = b"sealed", NOW, 7
        session.add(RecoveryCode(account_id=eva.id, code_hash="x", used_at=None))
        assert site_accounts.turn_second_factor_off(session, eva, EVA, NOW)
        session.refresh(eva)
        assert [eva.totp_sealed, eva.totp_since, eva.totp_last_step] == [None] * 3
        assert session.scalars(select(RecoveryCode)).all() == []
    assert letters(sqlite) == [(Letter.SECOND_FACTOR_CHANGED, "eva@eva.example")]
    assert events(sqlite) == ["second factor off"]


def test_an_invitation_remembers_its_plan_whatever_it_is_called_later(sqlite: Database) -> None:
    with sqlite.writing() as session:
        link = site_accounts.invite(session, "new@new.example", "standard", audit.COMMAND, NOW)
        assert session.get_one(SiteLink, link.id).data == {"plan_id": 1}
        with pytest.raises(UserError, match="no plan"):
            site_accounts.invite(session, "new@new.example", "golden", audit.COMMAND, NOW)
    with sqlite.reading() as session:
        told = session.scalars(select(MailRequest)).one()
        assert (told.kind, told.to_address, told.data) == ("invitation", "new@new.example", {"plan": "standard"})


def test_the_owner_of_an_account_that_was_made_for_them_is_invited_to_it(sqlite: Database) -> None:
    with sqlite.writing() as session:
        max_ = session.scalars(select(Account).where(Account.login == "max")).one()
        link = site_accounts.invite_account(session, max_, "max@new.example", audit.COMMAND, NOW)
        assert (link.account_id, link.purpose, max_.address) == (max_.id, "invitation", None)
        assert link.expires_at - NOW == dt.timedelta(days=14)
    assert letters(sqlite) == [(Letter.INVITATION, "max@new.example")]


def test_second_factors_are_sealed_anew_with_the_dkim_keys(sqlite: Database, tmp_path: Path) -> None:
    secrets = SecretsStore(tmp_path / "secrets")
    secrets.create()
    with sqlite.writing() as session:
        eva = session.scalars(select(Account).where(Account.login == "eva")).one()
        before = eva.totp_sealed = secrets.seal(b"the secret")
    for _ in range(3):  # the file keeps one key before the newest, and what is needed
        with sqlite.writing() as session:
            directory.rotate_key_encryption(session, secrets)
    with sqlite.reading() as session:
        after = session.scalars(select(Account.totp_sealed).where(Account.login == "eva")).one()
    assert after
    assert after != before
    assert secrets.unseal(after) == b"the secret"


def is_good(session: Session, link: SiteLink) -> bool:
    purpose = LinkPurpose(link.purpose)
    return site_links.find(session, site_links.token(link.id, purpose, KEY), purpose, KEY, NOW) is not None


def test_with_a_new_password_nobody_takes_the_account_over_by_a_link_from_before(database: Database) -> None:
    with database.writing() as session:
        eva = session.scalars(select(Account).where(Account.login == "eva")).one()
        address = site_accounts.ask_address(session, eva, "thief@elsewhere.example", EVA, NOW)
        invitation = site_accounts.invite_account(session, eva, "mistyped@elsewhere.example", audit.COMMAND, NOW)
        assert is_good(session, address)
        assert is_good(session, invitation)
        site_accounts.change_password(session, eva, "hash", EVA, NOW)
        assert not is_good(session, address)
        assert not is_good(session, invitation)


def test_only_the_last_address_that_was_asked_for_can_be_confirmed(database: Database) -> None:
    with database.writing() as session:
        eva = session.scalars(select(Account).where(Account.login == "eva")).one()
        mistyped = site_accounts.ask_address(session, eva, "eva@nwe.example", EVA, NOW)
        right = site_accounts.ask_address(session, eva, "eva@new.example", EVA, NOW)
        assert not is_good(session, mistyped)
        assert is_good(session, right)
        site_accounts.confirm_address(session, eva, "eva@other.example", audit.COMMAND, NOW)
        assert not is_good(session, right)


def test_an_invitation_to_another_address_than_the_accounts_is_nobodys(sqlite: Database) -> None:
    with sqlite.writing() as session:
        max_ = session.scalars(select(Account).where(Account.login == "max")).one()
        link = site_accounts.invite_account(session, max_, "mxa@max.example", audit.COMMAND, NOW)
        assert site_accounts.account_of_invitation(session, link) is max_
        site_accounts.confirm_address(session, max_, "max@max.example", audit.COMMAND, NOW)
        assert site_accounts.account_of_invitation(session, link) is None
        open_to_all = site_accounts.invite(session, "new@max.example", "standard", audit.COMMAND, NOW)
        assert site_accounts.account_of_invitation(session, open_to_all) is None
