"""A site over a sample record of its own, called without a server: to write to, to set the clock of, to read mail of.

Sends no mail: a letter is read where the notices would.
"""

import contextlib
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flask import Flask
from sqlalchemy import select

from sendproof_core import site_links
from sendproof_core.database import Database
from sendproof_core.mail_requests import Letter
from sendproof_core.schema import Account, AuditEntry, MailRequest, SiteLink, SiteSession
from sendproof_core.settings import SettingsFile
from sendproof_core.states import LinkPurpose
from sendproof_testing import sample_site
from sendproof_testing.visitor import Visitor
from sendproof_web import services, sessions
from sendproof_web.app import create_app


@dataclass
class OwnSite:
    """A site, its clock, and what is behind it."""

    app: Flask
    file: SettingsFile
    now: dt.datetime

    @property
    def database(self) -> Database:
        """The site's own."""
        with self.app.app_context():
            return services.services().database

    def visitor(self, login: str | None = None) -> Visitor:
        """A browser of its own, signed in or not."""
        return signed_in(self.app, login, self.now) if login else Visitor(self.app.test_client())

    def account(self, login: str) -> Account:
        """As it is stored now."""
        with self.database.reading() as session:
            account = session.scalars(select(Account).where(Account.login == login)).one()
            session.expunge(account)
        return account

    def letters(self, letter: Letter | None = None) -> list[MailRequest]:
        """Those that were asked for, the oldest first."""
        query = select(MailRequest).order_by(MailRequest.id)
        with self.database.reading() as session:
            found = list(session.scalars(query if letter is None else query.where(MailRequest.kind == letter.value)))
            session.expunge_all()
        return found

    def path_in(self, letter: MailRequest) -> str:
        """The link in a letter, without the site's address."""
        with self.app.app_context(), self.database.reading() as session:
            link = session.get_one(SiteLink, letter.link_id)
            return site_links.url("", link.id, LinkPurpose(link.purpose), services.services().links_key)

    def audited(self) -> list[str]:
        """The events of the audit log, the oldest first."""
        with self.database.reading() as session:
            return list(session.scalars(select(AuditEntry.event).order_by(AuditEntry.id)))


@contextlib.contextmanager
def running(folder: Path, now: dt.datetime, web_lines: str = "") -> Iterator[OwnSite]:
    """Prepare one in a folder. ``web_lines``: as for `sample_site.prepare`."""
    file = sample_site.prepare(folder, web_lines=web_lines)
    found: list[OwnSite] = []
    app = create_app(file, now=lambda: found[0].now)
    found.append(OwnSite(app, file, now))
    yield found[0]
    with app.app_context():
        services.services().database.close()
        services.services().journal.close()


def signed_in(app: Flask, login: str, now: dt.datetime) -> Visitor:
    """A browser with a new session of that account, without the form: hashing takes a while."""
    visitor = Visitor(app.test_client())
    with app.app_context(), services.services().database.writing() as session:
        account_id = session.scalars(select(Account.id).where(Account.login == login)).one()
        token = sessions.begin(session, account_id, client_address="127.0.0.1", user_agent="test", now=now)
    with visitor.client.session_transaction() as cookie:
        cookie.permanent = True
        cookie["session"] = token
    return visitor


def acting_as(site: OwnSite, login: str) -> Visitor:
    """The provider's browser, looking at that account with its eyes."""
    visitor = site.visitor("boss")
    with visitor.client.session_transaction() as cookie:
        token = str(cookie["session"])
    account_id = site.account(login).id
    with site.database.writing() as session:
        found = sessions.find(session, token, site.now)
        if found is None:
            raise LookupError("the provider is not signed in")
        session.get_one(SiteSession, found[0].session_id).acting_as_id = account_id
    return visitor
