"""Single addresses to send as: confirmed by mail, by the account that asked."""

import datetime as dt

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from sendproof_core import directory
from sendproof_core.mail_requests import Letter
from sendproof_core.schema import Account, OwnAddress
from sendproof_testing.own_site import OwnSite
from sendproof_testing.visitor import Visitor
from sendproof_web import sender_addresses

_NEW = "/account/addresses/new"


def _ask(visitor: Visitor, address: str = "max@isp.example") -> TestResponse:
    return visitor.post(_NEW, _NEW, address=address)


def _link(site: OwnSite) -> str:
    return site.path_in(site.letters(Letter.CONFIRM_SENDER_ADDRESS)[-1])


def _addresses(site: OwnSite, login: str) -> list[str]:
    with site.database.reading() as session:
        return list(session.scalars(select(OwnAddress.address).where(OwnAddress.account_id == site.account(login).id)))


def test_an_address_is_the_accounts_when_its_mail_was_answered(site: OwnSite) -> None:
    visitor = site.visitor("max")
    assert _ask(visitor).status_code == 303
    (letter,) = site.letters(Letter.CONFIRM_SENDER_ADDRESS)
    assert (letter.to_address, letter.data) == ("max@isp.example", {"login": "max"})
    assert "max@isp.example" in visitor.get(_link(site)).text
    assert _addresses(site, "max") == []  # whoever opens links in mail to look at them has changed nothing
    assert visitor.post(_link(site), _link(site)).status_code == 303
    assert _addresses(site, "max") == ["max@isp.example"]
    assert visitor.get(_link(site)).status_code == 404
    assert site.audited()[-2:] == ["sender address asked for", "sender address added"]


def test_the_link_is_good_only_for_the_account_that_asked(site: OwnSite) -> None:
    """Else one mail would be enough to talk somebody into lending their address."""
    _ask(site.visitor("max"), "eva@isp.example")
    eva = site.visitor("eva")
    assert eva.get(_link(site)).status_code == 404
    assert eva.post(_link(site), _NEW).status_code == 404
    assert _addresses(site, "max") == _addresses(site, "eva") == []
    assert site.visitor().get(_link(site)).status_code == 303


def test_an_old_link_is_good_for_nothing(site: OwnSite) -> None:
    _ask(site.visitor("max"))
    site.now += dt.timedelta(days=3)
    assert site.visitor("max").get(_link(site)).status_code == 404


@pytest.mark.parametrize(
    "address", ["", "max", "max@localhost", "a b@isp.example", "max@isp.example\r\nBcc: x@y.example"]
)
def test_what_is_no_address_is_refused_beside_its_field(site: OwnSite, address: str) -> None:
    answer = _ask(site.visitor("max"), address)
    assert answer.status_code == 422
    assert 'id="address-problem"' in answer.text
    assert site.letters() == []


def test_an_address_at_another_accounts_domain_is_not_to_be_had(site: OwnSite) -> None:
    visitor = site.visitor("max")
    _ask(visitor, "max@eva.example")
    with site.database.writing() as session:
        eva = session.scalars(select(Account).where(Account.login == "eva")).one()
        directory.add_domain(session, "eva.example", eva, site.now)
    assert visitor.post(_link(site), _link(site)).status_code == 303
    assert "belongs to another account" in visitor.get("/account/domains").text
    assert _addresses(site, "max") == []


def test_mails_to_strangers_have_an_end(site: OwnSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_addresses, "_ASKED_PER_DAY", 2)
    visitor = site.visitor("max")
    for number in range(2):
        assert _ask(visitor, f"a{number}@isp.example").status_code == 303
    answer = _ask(visitor, "a3@isp.example")
    assert answer.status_code == 422
    assert "Go on tomorrow." in answer.text
    assert len(site.letters()) == 2
    assert _ask(site.visitor("eva"), "a3@isp.example").status_code == 303
    site.now += dt.timedelta(days=1, seconds=1)
    assert _ask(site.visitor("max"), "a3@isp.example").status_code == 303


def test_what_the_account_has_is_not_asked_for_again(site: OwnSite, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = site.visitor("max")
    _ask(visitor)
    visitor.post(_link(site), _link(site))
    assert "already" in _ask(visitor, "MAX@ISP.example").text
    monkeypatch.setattr(sender_addresses, "_MOST", 1)
    assert "You have 1 addresses" in _ask(visitor, "other@isp.example").text


def test_an_address_is_removed_after_a_second_question_by_its_account_alone(site: OwnSite) -> None:
    visitor = site.visitor("max")
    _ask(visitor)
    visitor.post(_link(site), _link(site))
    with site.database.reading() as session:
        path = f"/account/addresses/{session.scalars(select(OwnAddress.id)).one()}/remove"
    eva = site.visitor("eva")
    assert eva.get(path).status_code == eva.post(path, _NEW).status_code == 404
    assert "max@isp.example" in visitor.get(path).text
    assert visitor.post(path, path).status_code == 303
    assert _addresses(site, "max") == []
    assert site.audited()[-1] == "sender address removed"


@pytest.mark.parametrize("number", [2**31, 2**63, 10**30])
def test_a_number_that_no_address_has_is_not_there(site: OwnSite, number: int) -> None:
    visitor, path = site.visitor("max"), f"/account/addresses/{number}/remove"
    assert visitor.get(path).status_code == 404
    assert visitor.post(path, _NEW).status_code == 404
