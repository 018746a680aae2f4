import dataclasses
import datetime as dt
import uuid
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sendproof_core import clock, identity, tokens
from sendproof_core.addresses import address_key
from sendproof_core.dkim_keys import ED25519_SHA256
from sendproof_core.plans import OverQuota, QuotaLimits
from sendproof_milter import pipeline, signing, split_stamp
from sendproof_milter.edits import edits_of
from sendproof_milter.message import Submission
from sendproof_milter.sender import Sender
from sendproof_milter.work import Reason, Refusal, Site, Unavailable, Work
from sendproof_testing.submissions import (
    NOW,
    as_queued,
    from_wire,
    published,
    sender,
    signing_key,
    submission,
    verdicts,
    with_fields,
)

_SITE = Site("edge.relay.example", "https://t.relay.example", 1, {1: b"k" * 32})
_SPLITTING = dataclasses.replace(_SITE, split=True)
_PROVIDER = signing_key("relay.example", number=1)
_MIDNIGHT = dt.datetime(2026, 11, 22, 23, tzinfo=dt.UTC)
_OVER = OverQuota("recipients_per_day", 50, 49, 2, _MIDNIGHT)
_THREE = ("a@x.example", "b@x.example", "c@x.example")


@dataclass
class _Services:
    """A directory of one, and a ledger that remembers what it was asked."""

    known: Sender | None = field(default_factory=sender)
    over: OverQuota | None = None
    directory_is_away: bool = False
    ledger_is_away: bool = False
    calls: list[str] = field(default_factory=list)
    charges: list[tuple[uuid.UUID, tuple[str, ...]]] = field(default_factory=list)

    def sender(self, login: str) -> Sender | None:
        self._ask("sender")
        return self.known if self.known and self.known.login == login else None

    def account(self, account_id: int) -> Sender | None:
        self._ask("account")
        return self.known if self.known and self.known.account_id == account_id else None

    def _ask(self, what: str) -> None:
        self.calls.append(what)
        if self.directory_is_away:
            raise Unavailable("directory")

    def charge(self, sender: Sender, message_id: uuid.UUID, submission: Submission) -> OverQuota | None:
        assert sender == self.known
        self.calls.append("charge")
        if self.ledger_is_away:
            raise Unavailable("ledger")
        if self.over is None:
            self.charges.append((message_id, submission.recipients))
        return self.over


def _work(message: Submission) -> Work:
    return Work(message, identity.new_message_id(message.received_at))


def _run(message: Submission, services: _Services | None = None, site: Site = _SITE) -> tuple[Work, Refusal | None]:
    return pipeline.run(_work(message), services or _Services(), site)


def _refusal(message: Submission, services: _Services | None = None, site: Site = _SITE) -> Refusal:
    used = services or _Services()
    _, refusal = _run(message, used, site)
    assert refusal is not None
    assert used.charges == []  # a refusal is never charged
    return refusal


def _admitted(message: Submission, site: Site = _SITE, **of_sender: Any) -> Work:
    work, refusal = _run(message, _Services(sender(**of_sender)), site)
    assert refusal is None
    return work


def _is_accepted(message: Submission, **of_sender: Any) -> bool:
    return _run(message, _Services(sender(**of_sender)))[1] is None


def _signers(message: Submission, **of_sender: Any) -> list[str]:
    return [record.domain for record in _admitted(message, **of_sender).signatures]


def _pixel_token(work: Work) -> tokens.Token:
    text = work.body.partition(b"/o/")[2][: tokens.TOKEN_CHARACTERS].decode()
    token = tokens.read(text, _SITE.token_keys, NOW)
    assert token is not None
    return token


def test_the_order_of_the_steps() -> None:
    assert [step.__name__ for step in pipeline.STEPS] == ["who", "may", "charge", "route", "edit", "sign"]
    assert [step.__name__ for step in pipeline.SECOND_PASS] == ["recognise", "edit", "sign"]


def test_an_ordinary_message_goes_through_every_step() -> None:
    services = _Services()
    work, refusal = _run(submission(), services)
    assert refusal is None
    assert services.calls == ["sender", "charge"]
    assert services.charges == [(work.message_id, ("anna@example.net",))]
    assert work.pixel == "inserted"
    assert work.trace
    assert len(work.signature_values) == len(work.signatures) == 2


# --- who ------------------------------------------------------------------------------------------------------------


def test_no_login_is_refused_before_anything_is_asked() -> None:
    services = _Services()
    refusal = _refusal(submission(login=""), services)
    assert (refusal.reason, refusal.code, refusal.dsn) == (Reason.NO_LOGIN, 530, "5.7.0")
    assert services.calls == []


def test_an_unknown_login_is_refused() -> None:
    refusal = _refusal(submission(login="nobody"))
    assert (refusal.reason, refusal.code, refusal.dsn) == (Reason.UNKNOWN_LOGIN, 550, "5.7.1")


def test_a_login_is_not_unknown_because_the_directory_is_away() -> None:
    with pytest.raises(Unavailable):
        _run(submission(), _Services(directory_is_away=True))


# --- may ------------------------------------------------------------------------------------------------------------


def test_a_suspended_account_is_refused_with_the_reason() -> None:
    services = _Services(sender(suspended_reason="unpaid since März"))
    refusal = _refusal(submission(), services)
    assert (refusal.reason, refusal.code) == (Reason.SUSPENDED, 550)
    assert "unpaid since M?rz" in refusal.text
    assert services.calls == ["sender"]


@pytest.mark.parametrize(
    "address", ["max", "max@other.example", "max@sub.own.example", "own.example", "max@own.example@other.example"]
)
def test_an_envelope_sender_of_others_is_refused_and_named(address: str) -> None:
    refusal = _refusal(submission(envelope_sender=address))
    assert (refusal.reason, refusal.code, refusal.dsn) == (Reason.FOREIGN_SENDER, 550, "5.7.1")
    assert f"<{address}>" in refusal.text


def test_an_empty_envelope_sender_is_allowed_where_from_is_the_accounts_own() -> None:
    assert _is_accepted(submission(envelope_sender=""))
    assert _refusal(with_fields((b"From", b"boss@bank.example"), envelope_sender="")).reason is Reason.FOREIGN_FROM
    assert _refusal(submission(envelope_sender="", headers=())).reason is Reason.NO_FROM


@pytest.mark.parametrize(
    "value",
    [
        b"boss@bank.example",
        b"max@own.example, boss@bank.example",
        b"Team: max@own.example, boss@bank.example;",
        b'"max@own.example" <boss@bank.example>',
        b"=?utf-8?q?max=40own=2Eexample?= <boss@bank.example>",
        b"boss@bank.example <boss@bank.example>",
        b"max@own.example (and) , boss@bank.example",
    ],
)
def test_a_from_field_with_an_address_of_others_is_refused_and_named(value: bytes) -> None:
    refusal = _refusal(with_fields((b"From", value)))
    assert (refusal.reason, refusal.code, refusal.dsn) == (Reason.FOREIGN_FROM, 550, "5.7.1")
    assert "<boss@bank.example>" in refusal.text


def test_a_second_from_field_of_others_is_refused() -> None:
    message = with_fields((b"From", b"max@own.example"), (b"from", b"boss@bank.example"))
    assert _refusal(message).reason is Reason.FOREIGN_FROM


@pytest.mark.parametrize(
    "value", [b"nobody", b"", b'"' * 9999, b"max@own.example <boss@bank.example>", b"undisclosed:;"]
)
def test_a_from_field_that_cannot_be_read_in_one_way_is_refused(value: bytes) -> None:
    refusal = _refusal(with_fields((b"From", value)))
    assert (refusal.reason, refusal.code) == (Reason.NO_FROM, 550)


def test_a_message_without_a_from_field_is_refused() -> None:
    assert _refusal(submission(headers=())).reason is Reason.NO_FROM


@pytest.mark.parametrize(
    "value",
    [
        b"sales@Second.Example",
        b"Team: max@own.example, Eva <eva@second.example>;",
        b"max@own.example <max@own.example>",
        b"=?utf-8?q?M=C3=A4x_=40_home?= <max@own.example>",
        b"Max (the boss@bank.example) <max@own.example>",
    ],
)
def test_any_address_of_any_own_domain_may_send(value: bytes) -> None:
    assert _is_accepted(with_fields((b"From", value), envelope_sender="bounces@OWN.example"))


@pytest.mark.parametrize("domain", ["münchen.example", "MÜNCHEN.example", "xn--mnchen-3ya.example"])
def test_an_international_domain_is_owned_in_both_its_forms(domain: str) -> None:
    address = f"max@{domain}"
    message = with_fields((b"From", f"Max <{address}>".encode()), envelope_sender=address, smtputf8=True)
    key = signing_key("xn--mnchen-3ya.example")
    owner = {"domains": frozenset({"xn--mnchen-3ya.example"}), "keys": (key,)}
    assert _signers(message, **owner) == ["xn--mnchen-3ya.example", "relay.example"]
    assert _refusal(message).reason is Reason.FOREIGN_SENDER


def test_an_own_address_at_a_foreign_domain_may_send_and_its_neighbours_may_not() -> None:
    account = sender(own_addresses=frozenset({address_key("max@gmail.example")}))
    message = with_fields((b"From", b"Max <Max@gmail.example>"), envelope_sender="max@GMAIL.example")
    work, refusal = _run(message, _Services(account))
    assert refusal is None
    assert [record.domain for record in work.signatures] == ["relay.example"]
    neighbour = with_fields((b"From", b"eva@gmail.example"))
    assert _refusal(neighbour, _Services(account)).reason is Reason.FOREIGN_FROM


def test_a_refusal_is_one_short_line_of_ascii() -> None:
    refusal = _refusal(submission(envelope_sender="\x1b[31m\r\nüä\udcff" + "x" * 5000 + "@other.example"))
    assert refusal.text.isascii()
    assert refusal.text.isprintable()
    assert len(refusal.text) < 400


def test_nothing_goes_out_unsigned_and_nothing_is_charged_for_it() -> None:
    services = _Services(sender(keys=(), provider_keys=()))
    with pytest.raises(Unavailable):
        _run(submission(), services)
    assert services.charges == []


def test_more_recipients_than_the_plan_allows_for_a_message_are_refused_with_both_numbers() -> None:
    services = _Services(sender(limits=QuotaLimits(recipients_per_message=2)))
    refusal = _refusal(submission(recipients=_THREE), services)
    assert (refusal.reason, refusal.code, refusal.dsn) == (Reason.TOO_MANY_RECIPIENTS, 550, "5.5.3")
    assert refusal.limit_name == "recipients_per_message"
    assert "2 recipients per message, this message has 3" in refusal.text
    assert _run(submission(recipients=_THREE[:2]), services)[1] is None


def test_a_larger_message_than_the_plan_allows_is_refused_with_both_numbers() -> None:
    message = submission()
    services = _Services(sender(limits=QuotaLimits(message_octets=message.size_bytes - 1)))
    refusal = _refusal(message, services)
    assert (refusal.reason, refusal.code, refusal.dsn) == (Reason.TOO_LARGE, 552, "5.3.4")
    assert refusal.limit_name == "message_octets"
    assert f"{message.size_bytes - 1} octets per message, this message has {message.size_bytes}" in refusal.text
    assert _is_accepted(message, limits=QuotaLimits(message_octets=message.size_bytes))


# --- charge ---------------------------------------------------------------------------------------------------------


def test_over_a_days_quota_is_refused_with_the_limit_the_use_and_the_reset_in_the_accounts_time_zone() -> None:
    refusal = _refusal(submission(recipients=("a@x.example", "b@x.example")), _Services(over=_OVER))
    assert (refusal.reason, refusal.code, refusal.dsn) == (Reason.OVER_QUOTA, 550, "5.7.1")
    assert refusal.limit_name == "recipients_per_day"
    assert "50 recipients per day, 49 used, this message has 2" in refusal.text
    assert "2026-11-23 00:00 CET" in refusal.text


def test_over_an_hours_quota_the_client_may_try_again() -> None:
    over = OverQuota("messages_per_hour", 10, 10, 1, NOW)
    refusal = _refusal(submission(), _Services(over=over))
    assert (refusal.reason, refusal.code, refusal.dsn) == (Reason.OVER_QUOTA, 452, "4.7.1")
    assert refusal.limit_name == "messages_per_hour"


def test_every_recipient_is_charged() -> None:
    services = _Services()
    work, _ = _run(submission(recipients=_THREE), services)
    assert services.charges == [(work.message_id, _THREE)]
    assert work.charged_recipients == 3


def test_while_the_ledger_is_away_nothing_goes_out_unless_the_operator_said_so() -> None:
    with pytest.raises(Unavailable):
        _run(submission(), _Services(ledger_is_away=True))
    lenient = dataclasses.replace(_SITE, accept_uncharged=True)
    work, refusal = _run(submission(), _Services(ledger_is_away=True), lenient)
    assert refusal is None
    assert work.charged_recipients == 0
    assert len(work.signature_values) == 2


def test_who_accepts_uncharged_mail_charges_all_the_same_while_the_ledger_is_there() -> None:
    lenient = dataclasses.replace(_SITE, accept_uncharged=True)
    services = _Services()
    work, _ = _run(submission(), services, lenient)
    assert (work.charged_recipients, len(services.charges)) == (1, 1)
    assert _refusal(submission(), _Services(over=_OVER), lenient).reason is Reason.OVER_QUOTA


def test_uncharged_mail_is_never_mail_of_somebody_unknown() -> None:
    lenient = dataclasses.replace(_SITE, accept_uncharged=True)
    with pytest.raises(Unavailable):
        _run(submission(), _Services(directory_is_away=True), lenient)
    with pytest.raises(Unavailable):
        _run(submission(), _Services(sender(keys=(), provider_keys=())), lenient)
    limited = _Services(sender(limits=QuotaLimits(recipients_per_message=1)), ledger_is_away=True)
    assert _refusal(submission(recipients=_THREE), limited, lenient).reason is Reason.TOO_MANY_RECIPIENTS


def test_in_test_mode_a_message_goes_the_whole_way_and_is_neither_charged_nor_split() -> None:
    services = _Services(sender(test_mode=True), ledger_is_away=True)
    work, refusal = _run(submission(recipients=_THREE), services, _SPLITTING)
    assert refusal is None
    assert services.calls == ["sender"]
    assert (work.charged_recipients, work.split, work.pixel) == (0, False, "inserted")
    assert len(work.signature_values) == 2


def test_in_test_mode_the_same_is_refused() -> None:
    tried = {"test_mode": True, "limits": QuotaLimits(recipients_per_message=2)}
    assert not _is_accepted(submission(recipients=_THREE), **tried)
    assert not _is_accepted(submission(envelope_sender="boss@bank.example"), **tried)
    assert not _is_accepted(submission(), test_mode=True, suspended_reason="spam")


# --- route ----------------------------------------------------------------------------------------------------------


def test_mail_to_several_with_a_pixel_is_split_and_goes_to_its_second_pass_without_one() -> None:
    """Signed as it is: should the second pass never come, it is whole mail."""
    message = submission(recipients=_THREE, received_at=clock.now())
    services = _Services()
    work, _ = _run(message, services, _SPLITTING)
    assert work.split
    assert work.charged_recipients == 3  # the copies are not charged again
    assert (work.new_body, work.changed_fields) == (None, ())
    queued = as_queued(message, edits_of(work, _SPLITTING))
    assert queued.count(b"\r\nX-Sendproof-Split: 1.") == 1
    assert queued.endswith(b"\r\n\r\n" + message.body)
    assert verdicts(queued, _RECORDS) == [True, True]


@pytest.mark.parametrize(
    ("message", "of_sender", "site", "pixel"),
    [
        (submission(), {}, _SPLITTING, "inserted"),
        (submission(recipients=_THREE), {}, _SITE, "inserted"),
        (submission(recipients=_THREE), {"shared_pixel": True}, _SPLITTING, "inserted"),
        (submission(recipients=_THREE), {"tracking": False}, _SPLITTING, "tracking-off"),
        (with_fields((b"X-Sendproof-Track", b"no"), recipients=_THREE), {}, _SPLITTING, "opted-out"),
        (with_fields((b"Content-Type", b"text/plain"), recipients=_THREE), {}, _SPLITTING, "not-html"),
        (with_fields((b"Auto-Submitted", b"auto-replied"), recipients=_THREE), {}, _SPLITTING, "automatic"),
        (submission(recipients=tuple(f"{n}@x.example" for n in range(5001))), {}, _SPLITTING, "inserted"),
    ],
    ids=["one", "no-transport", "shared", "off", "opted-out", "plain-text", "automatic", "too-many-for-a-stamp"],
)
def test_what_needs_no_copies_is_not_split_and_signed_at_once(
    message: Submission, of_sender: dict[str, Any], site: Site, pixel: str
) -> None:
    work = _admitted(message, site, **of_sender)
    assert (work.split, work.pixel) == (False, pixel)
    assert len(work.signature_values) == 2
    assert work.trace


def test_as_many_recipients_as_fit_into_a_stamp_are_split() -> None:
    recipients = tuple(f"{number}@x.example" for number in range(split_stamp.MOST_RECIPIENTS))
    assert _admitted(submission(recipients=recipients), _SPLITTING).split


# --- edit -----------------------------------------------------------------------------------------------------------


def test_the_pixel_names_the_message_and_its_only_recipient() -> None:
    work = _admitted(submission())
    token = _pixel_token(work)
    assert (token.purpose, token.message_id, token.recipient_number) == (tokens.Purpose.PIXEL, work.message_id, 1)
    assert b'.gif" width="1" height="1" alt="">' in work.body


def test_the_pixel_says_whether_who_opens_may_be_written_down() -> None:
    assert _pixel_token(_admitted(submission(), open_details=True)).purpose is tokens.Purpose.PIXEL_DETAILED
    assert _pixel_token(_admitted(submission(), open_details=False)).purpose is tokens.Purpose.PIXEL


@pytest.mark.parametrize(("of_sender", "site"), [({}, _SITE), ({"shared_pixel": True}, _SPLITTING)])
def test_a_pixel_that_several_recipients_share_names_none_of_them(of_sender: dict[str, Any], site: Site) -> None:
    work = _admitted(submission(recipients=_THREE), site, **of_sender)
    assert (_pixel_token(work).message_id, _pixel_token(work).recipient_number) == (work.message_id, 0)


def test_an_account_may_choose_a_picture_that_people_see() -> None:
    work = _admitted(submission(), tracking_image="logo.png")
    assert _pixel_token(work).recipient_number == 1
    start = work.body.index(b"<img ")
    tag = work.body[start : work.body.index(b">", start) + 1]
    assert tag.endswith(b'/logo.png" alt="">')
    assert b"width" not in tag


def test_who_did_not_opt_in_gets_no_pixel() -> None:
    work = _admitted(submission(), tracking=False)
    assert (work.new_body, work.pixel) == (None, "tracking-off")


@pytest.mark.parametrize(
    ("values", "account_tracks", "pixel"),
    [
        ([b"yes"], False, "inserted"),
        ([b" YES\n "], False, "inserted"),
        ([b"no"], True, "opted-out"),
        ([b"\tNo"], True, "opted-out"),
        ([b"yes", b"no"], True, "opted-out"),
        ([b"no", b"yes", b"yes"], False, "opted-out"),
        ([b"no"], False, "opted-out"),
        ([b"perhaps"], True, "inserted"),
        ([b"perhaps"], False, "tracking-off"),
        ([b""], True, "inserted"),
        ([b"\xff\xfe"], False, "tracking-off"),
        ([b"perhaps", b"yes"], False, "inserted"),
    ],
)
def test_a_message_may_ask_for_a_pixel_or_do_without(values: list[bytes], account_tracks: bool, pixel: str) -> None:
    fields = [
        (name, value) for name, value in zip((b"X-Sendproof-Track", b"x-SENDPROOF-track") * 2, values, strict=False)
    ]
    work = _admitted(with_fields(*fields), tracking=account_tracks)
    assert work.pixel == pixel
    assert b"sendproof-track" not in as_queued(work.submission, edits_of(work, _SITE)).lower()
    assert b"sendproof-track" not in b"".join(work.signature_values).lower()


def test_mail_that_cannot_carry_a_pixel_goes_out_as_it_is_with_the_reason() -> None:
    work = _admitted(with_fields((b"Content-Type", b"text/plain")))
    assert (work.new_body, work.pixel) == (None, "not-html")


def test_every_message_carries_a_trace_that_names_it() -> None:
    work = _admitted(submission(), tracking=False)
    token = tokens.read(work.trace, _SITE.token_keys, NOW + dt.timedelta(days=3600))
    assert token is not None
    assert (token.purpose, token.message_id) == (tokens.Purpose.TRACE, work.message_id)


def test_what_a_server_on_the_way_would_change_is_changed_before_it_is_signed() -> None:
    message = with_fields((b"Subject", "Grüße".encode()), body="<html><body>Grüße</body></html>\r\n".encode())
    work = _admitted(message, tracking=False)
    queued = as_queued(message, edits_of(work, _SITE))
    assert queued.isascii()
    assert set(work.wire_edits) == {"8-bit-header", "8-bit-parts"}
    assert b"\r\nContent-Transfer-Encoding: quoted-printable\r\n" in queued


# --- sign -----------------------------------------------------------------------------------------------------------


def test_the_from_domain_signs_and_the_provider_not_the_accounts_other_domains() -> None:
    assert _signers(submission()) == ["own.example", "relay.example"]
    assert _signers(with_fields((b"From", b"max@second.example"))) == ["second.example", "relay.example"]


def test_the_domain_of_the_from_field_counts_not_the_envelopes() -> None:
    assert _signers(submission(envelope_sender="max@second.example")) == ["own.example", "relay.example"]


def test_the_provider_signs_alone_where_the_account_has_no_key() -> None:
    assert _signers(submission(), keys=()) == ["relay.example"]


def test_the_own_domain_signs_alone_where_the_provider_has_no_key() -> None:
    assert _signers(submission(), provider_keys=()) == ["own.example"]


def test_every_active_key_of_a_domain_signs() -> None:
    keys = (signing_key(), signing_key(selector="sp1e", algorithm=ED25519_SHA256))
    work = _admitted(submission(), keys=keys)
    assert [(record.domain, record.selector, record.algorithm) for record in work.signatures] == [
        ("own.example", "sp1", "rsa-sha256"),
        ("own.example", "sp1e", "ed25519-sha256"),
        ("relay.example", "sp1", "rsa-sha256"),
    ]


def test_what_is_signed_is_the_body_as_it_goes_out() -> None:
    work = _admitted(submission())
    assert work.new_body is not None
    assert work.body_hash == signing.body_hash(work.new_body)


def test_our_own_fields_that_the_client_brought_are_not_signed() -> None:
    names = (b"X-SENDPROOF-trace", b"x-sendproof-track", b"X-Sendproof-Split")
    work = _admitted(with_fields(*((name, b"spoofed") for name in names)))
    assert b"sendproof" not in b"".join(work.signature_values).lower()
    assert not {name.lower() for name, _ in work.signed_headers} & {name.lower() for name in names}
    assert "spoofed" not in work.trace


# --- the message as it is queued --------------------------------------------------------------------------------------

_KEYS = (signing_key(), signing_key(selector="sp1e", algorithm=ED25519_SHA256))
_RECORDS = published(*_KEYS, _PROVIDER)
_MULTIPART = """From: Max <max@own.example>
To: anna@example.net
Subject: Grüße =?utf-8?q?aus?= Wien und ein langer Betreff, der gefaltet ist
 und weitergeht
X-Sendproof-Trace: spoofed
X-Sendproof-Track: yes
x-sendproof-trace: spoofed again
DKIM-Signature: v=1; a=rsa-sha256; d=own.example; s=old; b=no
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary="b"
Content-Transfer-Encoding: 8bit

--b
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Grüße
--b
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: 8bit

<html><body><p>Grüße</p></body></html>
--b--
"""
_CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n")
_VALUE = st.lists(st.text(_CHARACTERS, max_size=30).map(str.encode) | st.just(b"a " * 600), min_size=1, max_size=2).map(
    b"\n ".join
)
_FIELD_NAME = st.sampled_from(
    [b"Subject", b"To", b"cc", b"Reply-To", b"References", b"X-Other", b"X-Sendproof-Trace", b"x-sendproof-track"]
)


def _verdicts_of_queued(message: Submission, **of_sender: Any) -> list[bool]:
    work = _admitted(message, **{"keys": _KEYS, **of_sender})
    return verdicts(as_queued(message, edits_of(work, _SITE)), _RECORDS)


def test_dkimpy_verifies_every_signature_of_the_message_as_it_is_queued() -> None:
    assert _verdicts_of_queued(submission(received_at=clock.now())) == [True, True, True]


def test_dkimpy_verifies_what_was_made_safe_for_the_wire_first() -> None:
    message = from_wire(_MULTIPART.encode(), received_at=clock.now())
    assert _verdicts_of_queued(message) == [True, True, True, False]  # the last one was the client's own
    assert _verdicts_of_queued(message, tracking_image="logo.png") == [True, True, True, False]


@settings(max_examples=25, deadline=None)
@given(
    fields=st.lists(st.tuples(_FIELD_NAME, _VALUE), max_size=6),
    lines=st.lists(st.text(_CHARACTERS, max_size=40).map(str.encode) | st.just(b"x" * 1200), max_size=5),
)
@example(fields=[(b"Subject", b"\x0c")], lines=[])  # verifiers differ in whether these are blanks
@example(fields=[(b"Subject", b"a\n \x0b"), (b"To", b"\x0canna@example.net")], lines=[])
def test_whatever_has_to_be_changed_the_signatures_verify(
    fields: list[tuple[bytes, bytes]], lines: list[bytes]
) -> None:
    body = b"".join(line + b"\r\n" for line in lines)
    plain = [pair for pair in submission().headers if pair[0] not in {b"To", b"Subject"}]
    message = submission(headers=(*plain, *fields), body=body, received_at=clock.now())
    assert _verdicts_of_queued(message, keys=(_KEYS[0],)) == [True, True]


# --- the second pass --------------------------------------------------------------------------------------------------


def _split(message: Submission) -> Submission:
    """The message as it comes back: one copy for all, with the MTA's own fields on top."""
    work = _admitted(message, _SPLITTING)
    assert work.split
    queued = as_queued(message, edits_of(work, _SPLITTING))
    received = b"Received: from [192.0.2.7] by edge.relay.example; Sun, 22 Nov 2026 13:03:05 +0000\r\n"
    return from_wire(received + queued, login="", daemon_name="resubmit", received_at=message.received_at)


def _copy(back: Submission, recipient: str, *original: str, **changes: Any) -> Submission:
    return dataclasses.replace(
        back, recipients=(recipient,), original_recipients=original, queue_id="4Zcopy", **changes
    )


def _second(message: Submission, services: _Services | None = None) -> tuple[Work, Refusal | None]:
    return pipeline.run(_work(message), services or _Services(), _SPLITTING, pipeline.SECOND_PASS)


def test_each_copy_gets_the_pixel_of_its_recipient_and_is_signed() -> None:
    back = _split(submission(recipients=_THREE, received_at=clock.now()))
    message_ids = set()
    for number, recipient in enumerate(_THREE, 1):
        services = _Services()
        work, refusal = _second(_copy(back, recipient), services)
        assert refusal is None
        assert services.calls == ["account"]  # nothing is charged
        token = _pixel_token(work)
        assert (token.recipient_number, work.recipient_number, work.pixel) == (number, number, "inserted")
        assert token.message_id == work.message_id
        message_ids.add(work.message_id)
        queued = as_queued(work.submission, edits_of(work, _SPLITTING))
        assert verdicts(queued, _RECORDS) == [True, True]
        assert b"Split" not in queued
        assert b"split" not in b"".join(work.signature_values).lower()
    assert len(message_ids) == 1


def test_the_trace_of_a_copy_names_the_recipient_too() -> None:
    work, _ = _second(_copy(_split(submission(recipients=_THREE)), _THREE[1]))
    token = tokens.read(work.trace, _SITE.token_keys, NOW)
    assert token is not None
    assert (token.message_id, token.recipient_number) == (work.message_id, 2)


@pytest.mark.parametrize(
    ("recipient", "original", "number"),
    [
        ("B@X.Example", (), 2),
        ("elsewhere@y.example", ("b@x.example",), 2),
        # A client may say of all its recipients that they were the same one once.
        ("a@x.example", ("c@x.example",), 1),
        ("c@x.example", ("alias@y.example",), 3),
    ],
)
def test_a_copy_has_the_number_that_its_recipient_was_submitted_with(
    recipient: str, original: tuple[str, ...], number: int
) -> None:
    work, _ = _second(_copy(_split(submission(recipients=_THREE)), recipient, *original))
    assert work.recipient_number == _pixel_token(work).recipient_number == number


@pytest.mark.parametrize("original", [("alias@y.example",), ("",), ()])
def test_a_copy_for_nobody_who_was_named_carries_no_pixel(original: tuple[str, ...]) -> None:
    """Such as the archive's (always_bcc): who opens it there is none of the recipients."""
    work, refusal = _second(_copy(_split(submission(recipients=_THREE)), "elsewhere@y.example", *original))
    assert refusal is None
    assert (work.recipient_number, work.pixel, work.new_body) == (0, "unknown-recipient", None)
    assert len(work.signature_values) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"body": b"<html><body>Buy!</body></html>\r\n"},
        {"envelope_sender": "boss@bank.example"},
        {"headers": ((b"From", b"boss@bank.example"),)},
    ],
)
def test_a_stamp_is_worth_nothing_with_other_content(changes: dict[str, Any]) -> None:
    """A bounce may carry one to the sender."""
    back = _split(submission(recipients=_THREE))
    if "headers" in changes:
        kept = tuple(pair for pair in back.headers if pair[0] != b"From")
        changes = {"headers": (*kept, *changes["headers"])}
    services = _Services()
    _, refusal = _second(_copy(back, _THREE[0], **changes), services)
    assert refusal is not None
    assert refusal.reason is Reason.NO_STAMP
    assert services.calls == []


def test_the_second_pass_takes_the_first_ones_signatures_off_and_no_others() -> None:
    message = with_fields(
        (b"DKIM-Signature", b"v=1; a=rsa-sha256; d=list.example; s=x; h=from; bh=; b="),
        recipients=_THREE,
        received_at=clock.now(),
    )
    work, _ = _second(_copy(_split(message), _THREE[0]))
    queued = as_queued(work.submission, edits_of(work, _SPLITTING))
    assert queued.count(b"DKIM-Signature:") == 3
    assert queued.count(b"d=list.example") == 1
    assert queued.count(b"X-Sendproof-Trace:") == 1


def test_a_header_that_was_too_much_to_hold_is_refused() -> None:
    refusal = _refusal(submission(headers=(), header_dropped=True))
    assert (refusal.code, refusal.dsn) == (552, "5.3.4")
    assert "header" in refusal.text


def test_only_a_stamp_of_the_first_pass_is_believed() -> None:
    back = _split(submission(recipients=_THREE))
    none = dataclasses.replace(back, headers=tuple(pair for pair in back.headers if b"Split" not in pair[0]))
    twice = dataclasses.replace(back, headers=(*back.headers, *(pair for pair in back.headers if b"Split" in pair[0])))
    stale = dataclasses.replace(back, received_at=NOW + dt.timedelta(days=31))
    for message in (submission(), none, twice, stale):
        services = _Services()
        _, refusal = _second(_copy(message, _THREE[0]), services)
        assert refusal is not None
        assert (refusal.reason, refusal.code, refusal.dsn) == (Reason.NO_STAMP, 550, "5.7.1")
        assert services.calls == []


def test_a_copy_that_waited_as_long_as_postfix_keeps_mail_is_believed() -> None:
    back = _split(submission(recipients=_THREE))
    waited = _copy(back, _THREE[0], received_at=NOW + dt.timedelta(days=9))
    assert _second(waited)[1] is None


def test_a_copy_goes_out_though_the_account_was_suspended_since() -> None:
    back = _copy(_split(submission(recipients=_THREE)), _THREE[0])
    assert _second(back, _Services(sender(suspended_reason="spam")))[1] is None


@pytest.mark.parametrize(
    "services", [_Services(directory_is_away=True), _Services(known=None), _Services(sender(keys=(), provider_keys=()))]
)
def test_a_copy_that_cannot_be_signed_now_waits(services: _Services) -> None:
    back = _copy(_split(submission(recipients=_THREE)), _THREE[0])
    with pytest.raises(Unavailable):
        _second(back, services)
