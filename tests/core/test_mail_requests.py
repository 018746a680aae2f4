import datetime as dt

from sqlalchemy import select

from sendproof_core import mail_requests, site_links
from sendproof_core.database import Database
from sendproof_core.mail_requests import Letter
from sendproof_core.schema import MailRequest
from sendproof_core.states import LinkPurpose

NOW = dt.datetime(2026, 11, 22, 13, 0, tzinfo=dt.UTC)


def test_a_letter_is_asked_for_with_all_that_it_says(either_database: Database) -> None:
    with either_database.writing() as session:
        link = site_links.make(session, LinkPurpose.SIGN_UP, address="a@b.example", account_id=None, now=NOW)
        mail_requests.ask(
            session, Letter.CONFIRM_SIGN_UP, to_address="a@b.example", now=NOW, language="de", link_id=link.id
        )
        mail_requests.ask(session, Letter.LOGINS, to_address="a@b.example", now=NOW, data={"logins": ["max"]})
        link_id = link.id
    with either_database.reading() as session:
        confirm, logins = session.scalars(select(MailRequest).order_by(MailRequest.id))
        assert (confirm.kind, confirm.to_address, confirm.language) == ("confirm-sign-up", "a@b.example", "de")
        assert (confirm.link_id, confirm.data, confirm.requested_at) == (link_id, {}, NOW)
        assert (logins.kind, logins.link_id, logins.data) == ("logins", None, {"logins": ["max"]})


def test_the_name_of_every_letter_fits_its_column() -> None:
    assert max(len(letter) for letter in Letter) <= 40
