"""Logins for devices: made, shown once, revoked."""

import dataclasses
import re
from pathlib import Path

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from sendproof_core import directory, passwords
from sendproof_core.mail_requests import Letter
from sendproof_core.schema import Account, AuditEntry, Credential
from sendproof_core.settings import SubmissionSettings
from sendproof_testing.own_site import OwnSite
from sendproof_testing.visitor import Visitor
from sendproof_web import credentials, services

_NEW = "/account/credentials/new"


def _make(visitor: Visitor, label: str = "Laptop", login: str = "eva-laptop") -> TestResponse:
    return visitor.post(_NEW, _NEW, label=label, login=login)


def _password_in(page: str) -> str:
    found = re.search(r'id="new-password">([^<]+)<', page)
    assert found
    return found[1]


def _stored(site: OwnSite, login: str) -> Credential | None:
    with site.database.reading() as session:
        found = session.scalar(select(Credential).where(Credential.login == login))
        session.expunge_all()
    return found


def _with(site: OwnSite, **values: object) -> None:
    with site.app.app_context():
        services.install(site.app, dataclasses.replace(services.services(), **values))  # type: ignore[arg-type] # by name


def test_a_password_is_shown_once_and_opens_what_was_stored(site: OwnSite) -> None:
    visitor = site.visitor("eva")
    made = _make(visitor)
    assert made.status_code == 200
    assert made.headers["Cache-Control"] == "no-store"
    password = _password_in(made.text)
    assert re.fullmatch(r"[a-z2-9]{20}", password)
    stored = _stored(site, "eva-laptop")
    assert stored
    assert (stored.label, stored.account_id) == ("Laptop", site.account("eva").id)
    assert passwords.verify(stored.secret_hash, password)
    assert password not in visitor.get("/account/credentials").text
    assert password not in _make(visitor).text


def test_it_comes_with_what_a_mail_program_asks_for(site: OwnSite) -> None:
    _with(site, submission=SubmissionSettings(host="mail.relay.example", starttls_port=0))
    page = _make(site.visitor("eva")).text
    assert "mail.relay.example" in page
    assert ">465</span> with SSL/TLS" in page
    assert "STARTTLS" not in page
    assert 'id="server-login">eva-laptop<' in page


def test_its_owner_is_told_and_the_audit_log_knows_no_password(site: OwnSite) -> None:
    password = _password_in(_make(site.visitor("eva")).text)
    (letter,) = site.letters(Letter.CREDENTIAL_ADDED)
    assert letter.to_address == "eva@eva.example"
    assert letter.data == {"login": "eva", "label": "Laptop", "client_address": "127.0.0.1"}
    with site.database.reading() as session:
        entry = session.scalars(select(AuditEntry).where(AuditEntry.event == "credential added")).one()
        assert entry.details == {"login": "eva-laptop", "label": "Laptop"}
        assert (entry.actor, entry.account_id) == ("eva", site.account("eva").id)
    assert password not in str(letter.data)


def test_dovecot_knows_it_when_the_answer_comes(site: OwnSite, tmp_path: Path) -> None:
    path = tmp_path / "passwd"
    _with(site, passwd_file=path)
    visitor = site.visitor("eva")
    assert "It can take a few minutes" not in _make(visitor).text
    assert path.read_text().startswith("eva-laptop:{ARGON2ID}$argon2id$")
    visitor.post(_revoke_path(site, "eva-laptop"), _revoke_path(site, "eva-laptop"))
    assert path.read_text() == ""


def test_a_passwd_file_that_cannot_be_written_costs_nobody_the_password(site: OwnSite, tmp_path: Path) -> None:
    _with(site, passwd_file=tmp_path / "gone" / "passwd")
    page = _make(site.visitor("eva")).text
    assert _password_in(page)
    assert "It can take a few minutes" in page


@pytest.mark.parametrize(
    ("login", "problem"),
    [
        ("max-laptop", "begins with your own login: eva-laptop"),
        ("evalaptop", "begins with your own login"),
        ("eva-", "begins with your own login"),
        ("eva laptop", "without blanks"),
        ("eva-\u202e", "without blanks"),
        ("eva-" + "x" * 200, "cannot be longer"),
        ("", "Choose a login."),
    ],
)
def test_a_login_begins_with_the_accounts_own(site: OwnSite, login: str, problem: str) -> None:
    answer = _make(site.visitor("eva"), login=login)
    assert answer.status_code == 422
    assert problem in answer.text
    assert 'value="Laptop"' in answer.text


@pytest.mark.parametrize("label", ["", "  ", "a\x00b", "x" * 101])
def test_a_label_is_something_that_can_be_read(site: OwnSite, label: str) -> None:
    answer = _make(site.visitor("eva"), label=label)
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text


def test_a_login_exists_once_also_when_it_was_revoked(site: OwnSite) -> None:
    visitor = site.visitor("eva")
    _make(visitor)
    visitor.post(_revoke_path(site, "eva-laptop"), _revoke_path(site, "eva-laptop"))
    answer = _make(visitor)
    assert answer.status_code == 422
    assert "This login exists already." in answer.text


def test_the_proposed_login_is_one_that_is_free(site: OwnSite) -> None:
    visitor = site.visitor("eva")
    assert 'value="eva"' in visitor.get(_NEW).text
    _make(visitor, login="eva")
    assert 'value="eva-2"' in visitor.get(_NEW).text
    _make(visitor, login="eva-2")
    assert 'value="eva-3"' in visitor.get(_NEW).text


def _revoke_path(site: OwnSite, login: str) -> str:
    stored = _stored(site, login)
    assert stored
    return f"/account/credentials/{stored.id}/revoke"


def test_a_revoked_login_is_gone_from_the_list_and_from_dovecot(site: OwnSite) -> None:
    visitor = site.visitor("eva")
    _make(visitor)
    path = _revoke_path(site, "eva-laptop")
    assert "stops working within seconds" in visitor.get(path).text
    answer = visitor.post(path, path)
    assert (answer.status_code, answer.location) == (303, "/account/credentials")
    page = visitor.get("/account/credentials").text
    assert "1 revoked login" in page
    assert path not in page
    assert visitor.get(path).status_code == 404
    with site.database.reading() as session:
        assert directory.passwd_file(session) == ""
    assert site.audited()[-1] == "credential revoked"


def test_another_accounts_login_is_as_one_that_does_not_exist(site: OwnSite) -> None:
    _make(site.visitor("eva"))
    path = _revoke_path(site, "eva-laptop")
    max_ = site.visitor("max")
    assert max_.get(path).status_code == 404
    assert max_.post(path, _NEW).status_code == 404
    assert "eva-laptop" not in max_.get("/account/credentials").text
    stored = _stored(site, "eva-laptop")
    assert stored
    assert stored.revoked_at is None


def test_there_is_an_end_to_logins(site: OwnSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "_MOST", 1)
    visitor = site.visitor("eva")
    _make(visitor)
    answer = _make(visitor, login="eva-2")
    assert answer.status_code == 422
    assert "You have 1 logins" in answer.text


def test_the_list_says_when_a_login_was_last_used(site: OwnSite) -> None:
    with site.database.writing() as session:
        account = session.scalars(select(Account).where(Account.login == "max")).one()
        for login in ("max", "max-2"):
            directory.add_credential(session, account, login=login, label=f"of {login}", secret_hash="x", now=site.now)
    page = site.visitor("max").get("/account/credentials").text
    assert page.count("Last used:") == 1
    assert page.count("Never used") == 1


def test_a_label_is_text_whatever_it_says(site: OwnSite) -> None:
    visitor = site.visitor("eva")
    label = "<script>alert(1)</script>"
    assert label not in _make(visitor, label=label).text
    assert label not in visitor.get("/account/credentials").text
    assert label not in visitor.get(_revoke_path(site, "eva-laptop")).text
