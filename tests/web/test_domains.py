"""Domains from the first form to the key that signs, over DNS on loopback."""

import dataclasses
import datetime as dt
import re
from collections.abc import Iterator

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from sendproof_core import directory, domain_directory
from sendproof_core.domain_directory import OwnDomain
from sendproof_core.schema import Account, DkimKey, Domain, DomainClaim
from sendproof_core.settings import DnsSettings
from sendproof_testing import dns_zone
from sendproof_testing.dns_zone import DnsZone
from sendproof_testing.own_site import OwnSite
from sendproof_testing.visitor import Visitor
from sendproof_web import services

_PAGE = "/account/domains/own.example"
_ZONE = "keys.relay.example"


@pytest.fixture
def zone(site: OwnSite) -> Iterator[DnsZone]:
    """DNS for the site, which has a zone for keys."""
    with dns_zone.running() as running:
        _ask(site, running, dkim_zone=_ZONE, spf_include="_spf.relay.example")
        yield running


def _ask(site: OwnSite, zone: DnsZone, **settings: str) -> None:
    dns_settings = DnsSettings(servers=(zone.server,), timeout_seconds=1.0, **settings)
    with site.app.app_context():
        services.install(site.app, dataclasses.replace(services.services(), dns=dns_settings))


def _add(visitor: Visitor, name: str = "own.example") -> TestResponse:
    return visitor.post("/account/domains/new", "/account/domains/new", name=name)


def _check(site: OwnSite, visitor: Visitor) -> str:
    site.now += dt.timedelta(minutes=1)
    answer = visitor.post(f"{_PAGE}/check", _PAGE)
    assert answer.status_code == 303
    return visitor.get(_PAGE).text


def _own(site: OwnSite, login: str) -> OwnDomain:
    with site.database.reading() as session:
        found = domain_directory.find(session, site.account(login).id, "own.example")
    assert found
    return found


def _publish(site: OwnSite, zone: DnsZone, login: str) -> None:
    challenge = _own(site, login).wanted.challenge
    for selector in ("sp1", "sp1-ed25519"):
        zone.set(f"{selector}._domainkey.own.example", "CNAME", f"{selector}.{challenge}.{_ZONE}.")


def _publish_keys(site: OwnSite, zone: DnsZone) -> None:
    with site.database.reading() as session:
        for record in domain_directory.zone_records(session, _ZONE):
            zone.set(record.name, record.type, "".join(record.strings))


def test_from_the_form_to_a_key_that_signs(site: OwnSite, zone: DnsZone) -> None:
    zone.set("own.example", "TXT", "v=spf1 mx -all")
    zone.set("own.example", "MX", "10 mail.own.example.")
    zone.set("mail.own.example", "A", "192.0.2.1")
    zone.set("_spf.relay.example", "TXT", "v=spf1 ip4:192.0.2.0/24 -all")
    visitor = site.visitor("max")
    answer = _add(visitor)
    assert (answer.status_code, answer.location) == (303, _PAGE)
    page = visitor.get(_PAGE).text
    assert "You cannot send from this domain yet." in page
    assert "sp1._domainkey.own.example" in page
    assert f"sp1.{_own(site, 'max').wanted.challenge}.{_ZONE}" in page
    assert "v=spf1 mx include:_spf.relay.example -all" in page  # what is there was looked at at once
    assert "v=DMARC1; p=none" in page
    _publish(site, zone, "max")
    page = _check(site, visitor)
    assert "The domain is yours: you can send mail from its addresses now." in page
    assert "The key behind it is not published by us yet" in page
    _publish_keys(site, zone)
    zone.set("own.example", "TXT", "v=spf1 mx include:_spf.relay.example -all")
    zone.set("_dmarc.own.example", "TXT", "v=DMARC1; p=none")
    page = _check(site, visitor)
    assert "It names our servers. Receivers need 2 of the 10 DNS look-ups" in page
    assert "All is right" in page
    with site.database.reading() as session:
        assert set(session.scalars(select(DkimKey.state))) == {"active"}
    assert site.audited()[-4:] == ["domain claimed", "domain proved", "key activated", "key activated"]


def test_without_a_zone_of_ours_the_proof_comes_first_and_the_keys_then(site: OwnSite, zone: DnsZone) -> None:
    _ask(site, zone)
    visitor = site.visitor("max")
    _add(visitor)
    page = visitor.get(_PAGE).text
    assert "sendproof-challenge=" in page
    assert "_domainkey" not in page
    assert "Begin with the first record." in page
    challenge = _own(site, "max").wanted.challenge
    zone.set("_sendproof-challenge.own.example", "TXT", f"sendproof-challenge={challenge}")
    page = _check(site, visitor)
    assert "sp1._domainkey.own.example" in page
    assert "v=DKIM1; k=rsa; p=" in page


@pytest.mark.parametrize("text", ["Own.Example", " own.example. ", "me@own.example", "https://own.example/path"])
def test_a_name_is_taken_as_people_write_it(site: OwnSite, zone: DnsZone, text: str) -> None:
    del zone
    assert _add(site.visitor("max"), text).location == _PAGE


@pytest.mark.parametrize("text", ["", "localhost", "own", "a b.example", "<script>.example", "x" * 301, "192.0.2.1"])
def test_what_is_no_domain_is_refused_beside_its_field(site: OwnSite, zone: DnsZone, text: str) -> None:
    del zone
    answer = _add(site.visitor("max"), text)
    assert answer.status_code == 422
    assert 'id="name-problem"' in answer.text


def test_an_international_name_is_shown_as_it_is_written(site: OwnSite, zone: DnsZone) -> None:
    del zone
    visitor = site.visitor("max")
    answer = _add(visitor, "straße.example")
    assert answer.location == "/account/domains/xn--strae-oqa.example"
    page = visitor.get(answer.location).text
    assert "<bdi>straße.example</bdi>" in page
    assert "In DNS it is called xn--strae-oqa.example." in page


def test_adding_says_nothing_of_other_accounts(site: OwnSite, zone: DnsZone) -> None:
    del zone
    with site.database.writing() as session:
        owner = session.scalars(select(Account).where(Account.login == "max")).one()
        directory.add_domain(session, "own.example", owner, site.now)
        directory.add_domain(session, "relay.example", None, site.now)
    visitor = site.visitor("eva")
    for name in ("own.example", "relay.example", "free.example"):
        assert _add(visitor, name).status_code == 303
    again = _add(visitor)
    assert again.status_code == 422
    assert "on your list already" in again.text


def test_a_domain_that_another_account_has_is_not_taken_while_its_records_stand(site: OwnSite, zone: DnsZone) -> None:
    max_, eva = site.visitor("max"), site.visitor("eva")
    for visitor in (max_, eva):
        _add(visitor)
    _publish(site, zone, "max")
    _check(site, max_)
    challenge = _own(site, "eva").wanted.challenge
    zone.set("_sendproof-challenge.own.example", "TXT", f"sendproof-challenge={challenge}")
    assert "another account uses this domain" in _check(site, eva)
    _publish(site, zone, "eva")
    assert "The domain is yours" in _check(site, eva)
    assert max_.get(_PAGE).status_code == 404


def test_the_providers_own_domain_cannot_be_had(site: OwnSite, zone: DnsZone) -> None:
    with site.database.writing() as session:
        directory.add_domain(session, "own.example", None, site.now)
    visitor = site.visitor("max")
    _add(visitor)
    _publish(site, zone, "max")
    assert "provider&#39;s own" in _check(site, visitor)


def test_what_dns_does_not_answer_is_not_known(site: OwnSite, zone: DnsZone) -> None:
    for name in ("own.example", "sp1._domainkey.own.example", "_dmarc.own.example"):
        zone.break_name(name)
    visitor = site.visitor("max")
    _add(visitor)
    page = visitor.get(_PAGE).text
    assert page.count("DNS gave no answer in time.") == 4
    assert "we show it with our part added" in page


def test_names_that_are_none_are_not_found(site: OwnSite, zone: DnsZone) -> None:
    del zone
    visitor = site.visitor("max")
    for name in ("%00", "a%00b.example", "%ff.example", "localhost", "x" * 300, "..%2F..", "own.example%0d%0a"):
        assert visitor.get(f"/account/domains/{name}").status_code == 404


def test_looking_is_paused(site: OwnSite, zone: DnsZone) -> None:
    visitor = site.visitor("max")
    _add(visitor)
    zone.questions.clear()
    visitor.post(f"{_PAGE}/check", _PAGE)
    assert "We looked a moment ago." in visitor.get(_PAGE).text
    assert zone.questions == []


def test_what_dns_says_is_text_whatever_it_is(site: OwnSite, zone: DnsZone) -> None:
    hostile = 'v=spf1 <script>alert(1)</script>\x1b[31m"><img src=x onerror=alert(2)>\u202e'
    zone.set("own.example", "TXT", hostile)
    zone.set("_dmarc.own.example", "TXT", "v=DMARC1; p=<b>none</b>\u202e")
    zone.set("sp1._domainkey.own.example", "TXT", "<script>alert(3)</script>")
    visitor = site.visitor("max")
    _add(visitor)
    page = visitor.get(_PAGE).text
    assert "alert(3)" in page
    assert "is no part that it can have" in page
    for raw in ("<script>alert", "<img src=x", "<b>none", "\x1b", "\u202e"):
        assert raw not in page


def test_another_accounts_domain_is_as_one_that_does_not_exist(site: OwnSite, zone: DnsZone) -> None:
    del zone
    _add(site.visitor("max"))
    eva = site.visitor("eva")
    assert eva.get(_PAGE).status_code == 404
    assert eva.get(f"{_PAGE}/remove").status_code == 404
    assert eva.post(f"{_PAGE}/check", "/account/domains/new").status_code == 404
    assert eva.post(f"{_PAGE}/remove", "/account/domains/new").status_code == 404
    assert "own.example" not in eva.get("/account/domains").text
    with site.database.reading() as session:
        assert len(session.scalars(select(DomainClaim)).all()) == 1


def test_a_domain_is_removed_after_a_second_question(site: OwnSite, zone: DnsZone) -> None:
    visitor = site.visitor("max")
    _add(visitor)
    _publish(site, zone, "max")
    _check(site, visitor)
    assert "is refused, and its keys are deleted" in visitor.get(f"{_PAGE}/remove").text
    answer = visitor.post(f"{_PAGE}/remove", f"{_PAGE}/remove")
    assert (answer.status_code, answer.location) == (303, "/account/domains")
    assert visitor.get(_PAGE).status_code == 404
    with site.database.reading() as session:
        assert session.scalars(select(Domain)).all() == []
    assert site.audited()[-1] == "domain removed"


def test_the_list_tells_each_domains_state(site: OwnSite, zone: DnsZone) -> None:
    visitor = site.visitor("max")
    assert "No domain yet" in visitor.get("/account/domains").text
    _add(visitor)
    assert "Not proved yet" in visitor.get("/account/domains").text
    _publish(site, zone, "max")
    _check(site, visitor)
    page = re.sub(r"\s+", " ", visitor.get("/account/domains").text)
    assert "Something is to do" in page
