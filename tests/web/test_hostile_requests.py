"""Whatever a visitor sends: no route fails, on either kind of database.

Every route of the application gets hostile values in its path, and for every name that it asks the query or the form
for, from whom it is for. Which names those are is found out by asking first without any.
"""

import contextlib
import datetime as dt
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import quote

import pytest
from flask import Flask, Request
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from sendproof_core import passwords, schema_version
from sendproof_core.database import open_database
from sendproof_core.settings import SettingsFile, load
from sendproof_testing import own_site, route_objects, sample_record, sample_site
from sendproof_testing.postgres import Cluster
from sendproof_testing.visitor import Visitor
from sendproof_web import access, services
from sendproof_web.access import Access
from sendproof_web.app import create_app
from sendproof_web.services import Services

NOW = sample_record.SENT_AT + dt.timedelta(minutes=40)
_TOKEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')
_VARIABLE = re.compile(r"<(?:(?P<kind>\w+)(?:\(.*?\))?:)?(?P<name>\w+)>")
_SCRIPT = "<script>alert(1)</script>"
_VALUES = (
    "0",
    "-1",
    "9" * 3000,
    "٣",
    "a\0b",
    "\ud800".encode("utf-8", "surrogatepass").decode("utf-8", "replace"),
    "\u202e\x1b[31m\u2028",
    f"'\">{_SCRIPT}%(x)s{{{{7*7}}}}",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "before:0001-01-01 after:9999-12-31 to:* status:x \"",
    "//evil.example\\@[::1",
    "xn--a.☃.example",
    "x" * 3000,
)  # fmt: skip
_TOO_LARGE = ("2147483648", "9223372036854775808", "0" * 19 + "1" + "9" * 30)
# How the one thing is named that there is of each kind: by the name of the variable in the route.
_IDS = {
    "message_id": "message",
    "account_id": "max",
    "number": "1",
    "hand_over_id": "hand_over",
    "credential_id": "credential",
    "refusal_id": "refusal",
    "plan_id": "plan",
    "address_id": "own_address",
    "slug": "page",
    "name": "domain",
}
_LOGINS = {Access.PUBLIC: None, Access.SIGNED_IN: "max", Access.FRESH: "max", Access.PROVIDER: "boss"}


# After these the browser is signed out, or somebody else.
_END_SESSIONS = frozenset(
    {"sign_in.sign_out", "sign_in.again", "security.end_session", "provider_accounts.act", "provider_accounts.role"}
)
_WEB = 'sign_up = "open"\nsign_up_plan = "standard"\nprovider_needs_second_factor = false'


class _Asked(ImmutableMultiDict[str, str]):
    """Parameters that remember the names that were asked for."""

    names: ClassVar[set[str]] = set()

    def __contains__(self, name: object) -> bool:
        self.names.add(str(name))
        return super().__contains__(name)

    def get(self, key: str, default: Any = None, type: Any = None) -> Any:  # type: ignore[override] # noqa: A002
        self.names.add(key)
        return super().get(key, default, type)

    def getlist(self, name: str, type: Any = None) -> Any:  # noqa: A002 - as above
        self.names.add(name)
        return super().getlist(name, type)


class _Request(Request):
    parameter_storage_class = _Asked


@dataclass
class Site:
    """A site to break, over one kind of database."""

    app: Flask
    services: Services
    objects: dict[str, str]
    tokens: dict[str | None, tuple[FlaskClient, str]]

    def ask(self, rule: Rule, method: str, path: str, values: dict[str, str]) -> TestResponse:
        """Ask as who may; the answer, which is none of a failure, and runs nothing."""
        client, token = self._client(rule)
        _Asked.names.clear()
        if method == "POST":
            answer = client.post(path, data={**values, "csrf_token": token}, buffered=True)
        else:
            answer = client.open(path, method=method, query_string=values, buffered=True)
        assert answer.status_code < 500, (method, path[:200], values)
        assert answer.mimetype != "text/html" or _SCRIPT not in answer.text
        return answer

    def path(self, rule: Rule, value: str | None = None) -> str:
        """Of things that there are, or with this value in their place."""

        def one(found: re.Match[str]) -> str:
            if value is not None:
                return quote(value[:2000], safe="")
            name = "tokens" if found["name"] == "token" else found["name"]
            key = rule.endpoint.rpartition(".")[2] if name == "tokens" else _IDS.get(name, name)
            return self.objects.get(key, key)

        return _VARIABLE.sub(one, rule.rule)

    def names(self, rule: Rule, method: str) -> list[str]:
        """What the route asks the query or the form for."""
        self.ask(rule, method, self.path(rule), {})
        return sorted(_Asked.names - {"csrf_token"})

    def _client(self, rule: Rule) -> tuple[FlaskClient, str]:
        login = _LOGINS.get(access.declared(self.app.view_functions[rule.endpoint]) or Access.PUBLIC)
        if login not in self.tokens or rule.endpoint in _END_SESSIONS:
            client = own_site.signed_in(self.app, login, NOW).client if login else self.app.test_client()
            seen = client.get("/messages" if login else "/sign-in").text
            found = _TOKEN.search(seen)
            assert found, seen
            self.tokens[login] = client, found[1]
        return self.tokens[login]


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    file = sample_site.prepare(tmp_path_factory.mktemp("hostile"), web_lines=_WEB)
    with contextlib.ExitStack() as stack:
        if request.param == "postgresql":
            cluster: Cluster = request.getfixturevalue("postgres_cluster")
            file = _on_postgresql(file, stack.enter_context(cluster.empty_database()))
        app = create_app(file, now=lambda: NOW)
        app.request_class = _Request
        with app.app_context():
            made = services.services()
        stack.callback(made.journal.close)
        stack.callback(made.database.close)
        yield Site(app, made, route_objects.make(made.database, made.secrets, NOW), {})


def _on_postgresql(file: SettingsFile, url: str) -> SettingsFile:
    text = file.path.read_text(encoding="utf-8")
    file.path.write_text(re.sub(r'url = "sqlite:[^"]*"', f'url = "{url}"', text), encoding="utf-8")
    database = open_database(url)
    schema_version.upgrade(database)
    with database.writing() as session:
        sample_record.fill(session)
        sample_record.add_people(session)
    database.close()
    return load(file.path)


@pytest.fixture(autouse=True)
def _no_slow_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "verify", lambda _hash, _password: False)


def _asked_in_query(site: Site) -> list[tuple[Rule, str]]:
    found = [(rule, name) for rule, method in _routes(site) if method == "GET" for name in site.names(rule, method)]
    assert {name for _, name in found} > {"q", "cursor", "before", "below", "after", "newest"}  # they are found at all
    return found


def _routes(site: Site) -> list[tuple[Rule, str]]:
    return [
        (rule, method)
        for rule in site.app.url_map.iter_rules()
        for method in ("GET", "POST")
        if method in (rule.methods or ())
    ]


def _some(place: int) -> tuple[str, ...]:
    """A third of the values, others for the next place: each is tried often enough, and a test ends soon."""
    return _VALUES[place % 3 :: 3]


def test_nothing_in_a_path_breaks_a_route(site: Site) -> None:
    for place, (rule, method) in enumerate(_routes(site)):
        if rule.arguments and rule.endpoint != "static":
            for value in (*_TOO_LARGE, *_some(place)):
                site.ask(rule, method, site.path(rule, value), {})


def test_nothing_in_a_query_breaks_a_route(site: Site) -> None:
    for place, (rule, name) in enumerate(_asked_in_query(site)):
        for value in (*_TOO_LARGE, *_some(place)):
            site.ask(rule, "GET", site.path(rule), {name: value})


def test_nothing_in_a_form_breaks_a_route(site: Site) -> None:
    for place, (rule, method) in enumerate(_routes(site)):
        if method == "POST" and (names := site.names(rule, method)):
            for value in _some(place):
                site.ask(rule, method, site.path(rule), dict.fromkeys(names, value))


@pytest.mark.parametrize(
    "address", ["http://[", "http://[::1/", "//", "\\", "http://127.0.0.1//evil.example/x", "x" * 4000]
)
def test_no_address_that_a_browser_says_it_comes_from_breaks_the_way_to_the_sign_in(site: Site, address: str) -> None:
    client = site.app.test_client()
    part = client.get("/messages/live", headers={"HX-Request": "true", "HX-Current-URL": address})
    assert (part.status_code, part.headers["HX-Redirect"][:8]) == (401, "/sign-in")
    token = _TOKEN.search(client.get("/sign-in").text)
    assert token
    form = client.post("/account/preferences", data={"csrf_token": token[1]}, headers={"Referer": address})
    assert (form.status_code, form.headers["Location"][:8]) == (303, "/sign-in")


def test_over_https_a_form_that_comes_from_no_address_is_refused(site: Site) -> None:
    client, https = site.app.test_client(), "https://127.0.0.1"
    token = _TOKEN.search(client.get("/sign-in", https).text)
    assert token
    for address, status in (("https://[", 400), ("https://evil.example/", 400), (f"{https}/sign-in", 303)):
        form = client.post("/sign-out", https, data={"csrf_token": token[1]}, headers={"Referer": address})
        assert form.status_code == status


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_nothing_that_anybody_can_think_of_breaks_a_list(site: Site, data: st.DataObject) -> None:
    rule, name = data.draw(st.sampled_from(_listed(site)))
    site.ask(rule, "GET", site.path(rule), {name: data.draw(st.text(max_size=40) | st.sampled_from(_VALUES))})


def _listed(site: Site) -> list[tuple[Rule, str]]:
    rules = {rule.endpoint: rule for rule in site.app.url_map.iter_rules()}
    return [
        (rules[endpoint], name)
        for endpoint, name in (
            ("messages.index", "q"),
            ("messages.index", "cursor"),
            ("provider_accounts.index", "q"),
            ("provider_audit.index", "since"),
            ("provider_health.refusals", "after"),
            ("provider_queue.index", "domain"),
            ("hand_over.index", "before"),
        )
    ]


_SENT_TWICE: tuple[tuple[str, dict[str, str]], ...] = (
    ("/provider/plans/new", {"name": "twice"}),
    ("/provider/pages/new", {"title": "Twice", "slug": "twice", "markdown": "text"}),
    ("/provider/pages/defaults", {}),
    (
        "/provider/accounts/new",
        {"login": "twice", "plan": "standard", "time_zone": "UTC", "language": "", "how": "shown"},
    ),
)


@pytest.mark.parametrize(("path", "form"), _SENT_TWICE, ids=[path for path, _ in _SENT_TWICE])
def test_a_form_that_is_sent_four_times_at_once_makes_one_thing(site: Site, path: str, form: dict[str, str]) -> None:
    visitors = [own_site.signed_in(site.app, "boss", NOW) for _ in range(4)]
    tokens = [_TOKEN.search(visitor.get("/provider/plans/new").text) for visitor in visitors]
    together = threading.Barrier(len(visitors))

    def send(visitor: Visitor, token: re.Match[str] | None) -> int:
        assert token
        together.wait(10)
        return visitor.client.post(path, data={**form, "csrf_token": token[1]}).status_code

    with ThreadPoolExecutor(len(visitors)) as pool:
        statuses = sorted(pool.map(send, visitors, tokens))
    if path.endswith("defaults"):
        assert statuses == [303] * 4  # they are there, whoever made them
    else:
        assert statuses[0] in (200, 303)
        assert statuses[1:] == [422] * 3
