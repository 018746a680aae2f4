"""Who gets which answer, route by route: the table below names every route, and what it does not name fails.

Nobody, another account, the account itself, the provider, and the provider who acts as the account: each with the ids
of real things.
"""

import datetime as dt
import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from sendproof_core.database import Database
from sendproof_core.schema import SiteSession
from sendproof_testing import route_objects, sample_record, sample_site, table_dump
from sendproof_testing.sample_record import PASSWORD
from sendproof_testing.visitor import Visitor
from sendproof_web import access, services
from sendproof_web.access import Access
from sendproof_web.app import create_app

NOW = sample_record.SENT_AT + dt.timedelta(minutes=40)
_TAG = re.compile(r"<[a-z][^>]*>")
_FORBIDDEN = re.compile(r"^<style| style=| on[a-z]+=|=\W?javascript:|//cdn")
_TOKEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')


class Role(enum.Enum):
    """Who asks."""

    NOBODY = "nobody"
    OTHER = "eva"
    OWN = "max"
    PROVIDER = "boss"
    ACTING = "boss acting as max"
    STALE = "max, who gave the password long ago"


class Audience(enum.Enum):
    """Whom a route is for; and where it names a thing, whose."""

    EVERYBODY = "everybody"
    ACCOUNTS = "every account"
    OWNER = "the account whose thing it is"
    FRESH = "every account, a moment after its password"
    FRESH_OWNER = "the account whose thing it is, a moment after its password"
    PROVIDER = "the provider"


@dataclass(frozen=True)
class Case:
    """One route. ``status``: for whom it is; ``other``: for another account, where the thing is not its own."""

    endpoint: str
    path: str
    audience: Audience
    status: int = 200
    method: str = "GET"
    form: dict[str, str] = field(default_factory=dict)
    others: int = 404
    # Where roles of the audience get different answers.
    but: dict[Role, int] = field(default_factory=dict)
    # A GET that counts: the tables that it writes.
    counts: frozenset[str] = frozenset()

    def expected(self, role: Role) -> int:
        """The status that this role gets."""
        if role in self.but:
            return self.but[role]
        is_fresh = self.audience in (Audience.FRESH, Audience.FRESH_OWNER)
        match role, self.audience:
            case _, Audience.EVERYBODY:
                return self.status
            case Role.NOBODY, _:
                return 303
            case Role.STALE, _ if is_fresh:
                return 303
            case Role.ACTING, _ if is_fresh:
                return 403
            case Role.PROVIDER, Audience.PROVIDER:
                return self.status
            case _, Audience.PROVIDER:
                return 404
            case ((Role.OTHER | Role.PROVIDER), (Audience.OWNER | Audience.FRESH_OWNER)):
                return self.others
            case _:
                return self.status


_EVERYBODY, _ACCOUNTS, _OWNER = Audience.EVERYBODY, Audience.ACCOUNTS, Audience.OWNER
_FRESH, _FRESH_OWNER, _PROVIDER = Audience.FRESH, Audience.FRESH_OWNER, Audience.PROVIDER
_SIGNED_IN_ALREADY: dict[Role, int] = {role: 303 for role in Role if role is not Role.NOBODY}
_MESSAGE, _RECIPIENT = "/messages/{message}", "/messages/{message}/recipients/1"


def _post(endpoint: str, path: str, audience: Audience, status: int, **more: Any) -> Case:
    return Case(endpoint, path, audience, status, "POST", **more)


CASES: tuple[Case, ...] = (
    Case("static", "/static/{stylesheet}", _EVERYBODY),
    Case("home", "/", _EVERYBODY, 302),
    Case("health.healthz", "/healthz", _EVERYBODY),
    Case("pixel.fetch", "/o/x.gif", _EVERYBODY),
    Case("pixel.fetch_picture", "/o/x/logo.png", _EVERYBODY),
    _post("locale.choose", "/language/de", _EVERYBODY, 303, counts=frozenset({"accounts"})),
    # Signing in and out
    Case("sign_in.sign_in", "/sign-in", _EVERYBODY, but=_SIGNED_IN_ALREADY),
    _post("sign_in.sign_in", "/sign-in", _EVERYBODY, 422),
    Case("sign_in.code", "/sign-in/code", _EVERYBODY, 303),
    _post("sign_in.code", "/sign-in/code", _EVERYBODY, 303),
    Case("sign_in.again", "/sign-in/again", _ACCOUNTS, but={Role.ACTING: 403}),
    _post("sign_in.again", "/sign-in/again", _ACCOUNTS, 422, but={Role.ACTING: 403}),
    _post("sign_in.sign_out", "/sign-out", _EVERYBODY, 303),
    # Signing up, and what was mailed
    Case("sign_up.sign_up", "/sign-up", _EVERYBODY),
    _post("sign_up.sign_up", "/sign-up", _EVERYBODY, 422),
    Case("sign_up.sent", "/sign-up/sent", _EVERYBODY),
    Case("sign_up.finish", "/sign-up/{sign_up}", _EVERYBODY),
    _post("sign_up.finish", "/sign-up/{sign_up}", _EVERYBODY, 422),
    Case("sign_up.invitation", "/invitation/{invitation}", _EVERYBODY),
    _post("sign_up.invitation", "/invitation/{invitation}", _EVERYBODY, 422),
    Case("recovery.forgotten", "/forgotten", _EVERYBODY),
    _post("recovery.forgotten", "/forgotten", _EVERYBODY, 422),
    Case("recovery.sent", "/forgotten/sent", _EVERYBODY),
    Case("recovery.reset", "/reset/{reset}", _EVERYBODY),
    _post("recovery.reset", "/reset/{reset}", _EVERYBODY, 422),
    Case("security.confirm_address", "/address/{address}", _EVERYBODY),
    _post("security.confirm_address", "/address/{address}", _EVERYBODY, 303),
    # Messages and what is known of them
    Case("messages.index", "/messages", _ACCOUNTS),
    Case("messages.live", "/messages/live", _ACCOUNTS),
    Case("messages.export", "/messages/export.csv", _ACCOUNTS),
    Case("messages.export", "/messages/export.json", _ACCOUNTS),
    Case("transcripts.show", _MESSAGE, _OWNER),
    Case("transcripts.live", f"{_MESSAGE}/now", _OWNER),
    Case("transcripts.as_text", f"{_RECIPIENT}.txt", _OWNER),
    Case("transcripts.as_json", f"{_RECIPIENT}.json", _OWNER),
    Case("transcripts.refusal", "/refusals/{refusal}", _OWNER),
    Case("guide.show", f"{_RECIPIENT}/guide", _OWNER),
    Case("hand_over.of_recipient", f"{_RECIPIENT}/hand-over", _OWNER),
    _post("hand_over.create", f"{_RECIPIENT}/hand-over", _OWNER, 303, form={"days": "7"}),
    Case("hand_over.index", "/account/hand-overs", _ACCOUNTS),
    _post("hand_over.revoke", "/account/hand-overs/{hand_over}/revoke", _OWNER, 303),
    Case("hand_over.page", "/t/{hand_over_token}", _EVERYBODY, counts=frozenset({"hand_overs"})),
    Case("hand_over.page_text", "/t/{hand_over_token}.txt", _EVERYBODY, counts=frozenset({"hand_overs"})),
    Case("hand_over.page_json", "/t/{hand_over_token}.json", _EVERYBODY, counts=frozenset({"hand_overs"})),
    # The account
    Case("account.show", "/account", _ACCOUNTS),
    Case("credentials.index", "/account/credentials", _ACCOUNTS),
    Case("credentials.new", "/account/credentials/new", _FRESH),
    _post("credentials.new", "/account/credentials/new", _FRESH, 422),
    Case("credentials.revoke", "/account/credentials/{credential}/revoke", _FRESH_OWNER),
    _post("credentials.revoke", "/account/credentials/{credential}/revoke", _FRESH_OWNER, 303),
    Case("domains.index", "/account/domains", _ACCOUNTS),
    Case("domains.new", "/account/domains/new", _ACCOUNTS),
    _post("domains.new", "/account/domains/new", _ACCOUNTS, 422),
    Case("domains.show", "/account/domains/{domain}", _OWNER),
    _post("domains.check", "/account/domains/{domain}/check", _OWNER, 303),
    Case("domains.remove", "/account/domains/{domain}/remove", _FRESH_OWNER),
    _post("domains.remove", "/account/domains/{domain}/remove", _FRESH_OWNER, 303),
    Case("sender_addresses.new", "/account/addresses/new", _FRESH),
    _post("sender_addresses.new", "/account/addresses/new", _FRESH, 422),
    Case("sender_addresses.confirm", "/sender-address/{sender_address}", _OWNER),
    _post("sender_addresses.confirm", "/sender-address/{sender_address}", _OWNER, 303),
    Case("sender_addresses.remove", "/account/addresses/{own_address}/remove", _FRESH_OWNER),
    _post("sender_addresses.remove", "/account/addresses/{own_address}/remove", _FRESH_OWNER, 303),
    Case("preferences.show", "/account/preferences", _ACCOUNTS),
    _post("preferences.show", "/account/preferences", _ACCOUNTS, 422),
    Case("notices.show", "/account/notices", _ACCOUNTS),
    _post("notices.show", "/account/notices", _ACCOUNTS, 303),
    Case("security.index", "/account/security", _ACCOUNTS),
    Case("security.address", "/account/security/address", _FRESH),
    _post("security.address", "/account/security/address", _FRESH, 422),
    Case("security.password", "/account/security/password", _FRESH),
    _post("security.password", "/account/security/password", _FRESH, 422),
    Case("security.second_factor", "/account/security/second-factor", _FRESH),
    _post("security.second_factor_begin", "/account/security/second-factor", _FRESH, 303),
    Case("security.second_factor_code", "/account/security/second-factor/code.svg", _FRESH, 404),
    _post("security.second_factor_confirm", "/account/security/second-factor/confirm", _FRESH, 422),
    _post("security.second_factor_off", "/account/security/second-factor/off", _FRESH, 303),
    _post("security.recovery_codes", "/account/security/recovery-codes", _FRESH, 303),
    _post("security.end_session", "/account/security/sessions/{session}/end", _FRESH_OWNER, 303),
    _post("security.end_other_sessions", "/account/security/sessions/end-others", _FRESH, 303),
    # The provider's side
    Case("provider_accounts.index", "/provider/accounts", _PROVIDER),
    Case("provider_accounts.new", "/provider/accounts/new", _PROVIDER),
    _post("provider_accounts.new", "/provider/accounts/new", _PROVIDER, 422),
    Case("provider_accounts.show", "/provider/accounts/{max}", _PROVIDER),
    _post("provider_accounts.change", "/provider/accounts/{max}/change", _PROVIDER, 422),
    _post("provider_accounts.suspend", "/provider/accounts/{max}/suspend", _PROVIDER, 422),
    _post("provider_accounts.reinstate", "/provider/accounts/{max}/reinstate", _PROVIDER, 303),
    _post("provider_accounts.role", "/provider/accounts/{max}/role", _PROVIDER, 303),
    _post("provider_accounts.second_factor_off", "/provider/accounts/{max}/second-factor-off", _PROVIDER, 303),
    _post("provider_accounts.reset", "/provider/accounts/{max}/reset", _PROVIDER, 303),
    _post("provider_accounts.revoke", "/provider/accounts/{max}/revoke", _PROVIDER, 303, form={"login": "max-phone"}),
    _post("provider_accounts.act", "/provider/accounts/{eva}/act", _PROVIDER, 303),
    Case("provider.index", "/provider", _PROVIDER),
    Case("provider_plans.index", "/provider/plans", _PROVIDER),
    Case("provider_plans.new", "/provider/plans/new", _PROVIDER),
    _post("provider_plans.new", "/provider/plans/new", _PROVIDER, 422),
    Case("provider_plans.edit", "/provider/plans/{plan}", _PROVIDER),
    _post("provider_plans.edit", "/provider/plans/{plan}", _PROVIDER, 422),
    _post("provider_plans.delete", "/provider/plans/{unused_plan}/delete", _PROVIDER, 303),
    Case("provider_queue.index", "/provider/queue", _PROVIDER),
    Case("provider_health.index", "/provider/health", _PROVIDER),
    Case("provider_health.lines", "/provider/lines", _PROVIDER),
    Case("provider_health.lines_download", "/provider/lines.txt", _PROVIDER),
    Case("provider_health.refusals", "/provider/refusals", _PROVIDER),
    Case("provider_audit.index", "/provider/audit", _PROVIDER),
    Case("provider_audit.download", "/provider/audit.csv", _PROVIDER),
    # Its own pages
    Case("pages.show", "/pages/{page}", _EVERYBODY),
    Case("pages.manage", "/provider/pages", _PROVIDER),
    Case("pages.new", "/provider/pages/new", _PROVIDER),
    _post("pages.new", "/provider/pages/new", _PROVIDER, 422),
    Case("pages.edit", "/provider/pages/{page}/edit", _PROVIDER),
    _post("pages.edit", "/provider/pages/{page}/edit", _PROVIDER, 422),
    _post("pages.delete", "/provider/pages/{page}/delete", _PROVIDER, 303),
    _post("pages.add_defaults", "/provider/pages/defaults", _PROVIDER, 303),
    _post("provider_accounts.stop_acting", "/provider/stop-acting", _ACCOUNTS, 303),
)
_IDS = [f"{case.method} {case.path}" for case in CASES]


@dataclass(frozen=True)
class Site:
    """A site of these tests' own, who is signed in there, and the ids of what there is."""

    app: Flask
    database: Database
    database_path: Path
    visitors: dict[Role, Visitor]
    objects: dict[str, str]

    def ask(self, case: Case, role: Role) -> TestResponse:
        """What this role is answered. Afterwards its browser has the cookies that it had."""
        client = self.visitors[role].client
        kept = dict(client._cookies or {})
        try:
            return self._ask(case, role, client)
        finally:
            client._cookies = kept

    def _ask(self, case: Case, role: Role, client: FlaskClient) -> TestResponse:
        path = case.path.format(**self.objects)
        if case.method == "GET":
            return client.get(path, buffered=True)
        seen = client.get("/sign-in" if role is Role.NOBODY else "/messages")
        token = _TOKEN.search(seen.text)
        assert token
        return client.open(path, method=case.method, data={"csrf_token": token[1], **self._form(case)})

    def _form(self, case: Case) -> dict[str, str]:
        return {name: value.format(**self.objects) for name, value in case.form.items()}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("routes")
    lines = 'sign_up = "open"\nsign_up_plan = "standard"\nprovider_needs_second_factor = false'
    file = sample_site.prepare(folder, web_lines=lines)
    app = create_app(file, now=lambda: NOW)
    database = sample_site.database_of(file)
    with app.app_context():
        made = services.services()
    objects = route_objects.make(database, made.secrets, NOW)
    visitors = {role: Visitor(app.test_client()) for role in Role}
    logins = {Role.OTHER: "eva", Role.OWN: "max", Role.PROVIDER: "boss", Role.ACTING: "boss", Role.STALE: "max"}
    sessions = {}
    for role, login in logins.items():
        assert visitors[role].sign_in(login, PASSWORD).status_code == 303
        with database.reading() as session:
            sessions[role] = session.scalars(select(SiteSession.id).order_by(SiteSession.id.desc())).first()
    with database.writing() as session:
        acting = update(SiteSession).where(SiteSession.id == sessions[Role.ACTING])
        session.execute(acting.values(acting_as_id=int(objects["max"])))
        stale = update(SiteSession).where(SiteSession.id == sessions[Role.STALE])
        session.execute(stale.values(authenticated_at=NOW - access.FRESH - dt.timedelta(seconds=1)))
    objects["session"] = str(sessions[Role.STALE])
    yield Site(app, database, folder / "sendproof.db", visitors, objects)
    database.close()
    made.database.close()
    made.journal.close()


def test_the_table_names_every_route(site: Site) -> None:
    routes = {
        (rule.endpoint, method)
        for rule in site.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert routes == {(case.endpoint, case.method) for case in CASES}


def test_every_view_says_who_may_see_it(site: Site) -> None:
    silent = {name for name, view in site.app.view_functions.items() if access.declared(view) is None}
    assert silent == {"static"}


def test_the_table_and_the_views_say_the_same(site: Site) -> None:
    said = {
        Audience.EVERYBODY: Access.PUBLIC,
        Audience.ACCOUNTS: Access.SIGNED_IN,
        Audience.OWNER: Access.SIGNED_IN,
        Audience.FRESH: Access.FRESH,
        Audience.FRESH_OWNER: Access.FRESH,
        Audience.PROVIDER: Access.PROVIDER,
    }
    for case in CASES:
        if case.endpoint != "static":
            assert access.declared(site.app.view_functions[case.endpoint]) is said[case.audience], case.endpoint


@pytest.mark.parametrize("case", CASES, ids=_IDS)
def test_each_path_is_the_routes_own(site: Site, case: Case) -> None:
    urls = site.app.url_map.bind("127.0.0.1")
    endpoint, _ = urls.match(case.path.format(**site.objects).partition("?")[0], method=case.method)
    assert endpoint == case.endpoint


def needs_nothing_that_the_policy_forbids(answer: TestResponse) -> None:
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    if answer.mimetype != "text/html":
        return
    for tag in _TAG.findall(answer.text):
        assert not _FORBIDDEN.search(tag), tag
        if tag.startswith("<script"):
            assert " src=" in tag or 'type="application/json"' in tag, tag


@pytest.mark.parametrize("role", Role, ids=lambda role: role.value)
@pytest.mark.parametrize("case", CASES, ids=_IDS)
def test_each_role_gets_the_expected_answer(site: Site, case: Case, role: Role) -> None:
    before = table_dump.tables_of(site.database_path)
    with table_dump.unchanged_afterwards(site.database_path):
        answer = site.ask(case, role)
        after = table_dump.tables_of(site.database_path)
    location = answer.headers.get("Location", "")
    assert answer.status_code == case.expected(role), location or answer.text[:2000]
    is_shown_the_door = case.audience is not Audience.EVERYBODY and location.startswith("/sign-in")
    if role is Role.NOBODY and case.audience is not Audience.EVERYBODY:
        assert is_shown_the_door
    if role is Role.STALE and case.audience in (Audience.FRESH, Audience.FRESH_OWNER):
        assert location.startswith("/sign-in/again")
    needs_nothing_that_the_policy_forbids(answer)
    changed = table_dump.changes(before, after)
    if case.method == "GET":
        assert changed <= case.counts  # reading changes nothing
    elif answer.status_code >= 400 or is_shown_the_door:
        assert changed <= {"throttled_failures", "audit_entries"}  # nor does what is refused


@pytest.mark.parametrize("case", [case for case in CASES if case.method == "GET"], ids=lambda case: case.path)
def test_who_asks_for_the_head_only_gets_the_same_status(site: Site, case: Case) -> None:
    path = case.path.format(**site.objects)
    for role in (Role.NOBODY, Role.OWN, Role.PROVIDER):
        with table_dump.unchanged_afterwards(site.database_path):
            answer = site.visitors[role].client.head(path, buffered=True)
        assert (answer.status_code, answer.data) == (case.expected(role), b"")


# Forms on every page, also of who never signed in: SameSite and `form_origin` guard what little they do.
_WITHOUT_TOKEN = frozenset({"locale.choose"})
_POSTS = [case for case in CASES if case.method == "POST" and case.endpoint not in _WITHOUT_TOKEN]


@pytest.mark.parametrize("case", _POSTS, ids=lambda case: case.path)
def test_nothing_is_done_without_the_forms_own_token(site: Site, case: Case) -> None:
    before = table_dump.tables_of(site.database_path)
    for role in (Role.NOBODY, Role.OWN, Role.PROVIDER):
        answer = site.visitors[role].client.post(case.path.format(**site.objects), data=case.form)
        assert answer.status_code == 400
    assert table_dump.tables_of(site.database_path) == before


_OWN_THINGS = [case for case in CASES if case.method == "GET" and case.audience in (_OWNER, _FRESH_OWNER)]


@pytest.mark.parametrize("case", _OWN_THINGS, ids=lambda case: case.path)
def test_what_is_not_yours_answers_as_what_does_not_exist(site: Site, case: Case) -> None:
    foreign = site.ask(case, Role.OTHER)
    nowhere = {name: route_objects.nowhere(value) for name, value in site.objects.items()}
    missing = site.visitors[Role.OTHER].get(case.path.format(**nowhere))
    assert (foreign.status_code, foreign.text) == (missing.status_code, missing.text)
