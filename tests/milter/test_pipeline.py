import datetime as dt
import hashlib
import uuid
from dataclasses import dataclass, field
from typing import Any

import pytest

from sendproof_core import identity, tokens
from sendproof_core.journal_records import SignatureRecord, from_line, to_line
from sendproof_core.plans import OverQuota
from sendproof_milter import pipeline, signing
from sendproof_milter.message import Submission
from sendproof_milter.pipeline import Reason, Refusal, Site, Unavailable, Work
from sendproof_milter.sender import Sender
from sendproof_testing.submissions import NOW, sender, signing_key, submission, with_fields

_SITE = Site("edge.relay.example", "https://t.relay.example", 1, {1: b"k" * 32})
_PROVIDER = signing_key("relay.example", number=1)
_OVER = OverQuota(50, 49, 2, dt.datetime(2026, 11, 22, 23, tzinfo=dt.UTC))


@dataclass
class _Services:
    """A directory of one, and a ledger that remembers what it was asked."""

    known: Sender | None = field(default_factory=sender)
    over: OverQuota | None = None
    calls: list[str] = field(default_factory=list)
    charges: list[tuple[str, int]] = field(default_factory=list)

    def sender(self, login: str) -> Sender | None:
        self.calls.append("sender")
        return self.known if self.known and self.known.login == login else None

    def charge(
        self, sender: Sender, message_id: uuid.UUID, queue_id: str, recipients: int, now: dt.datetime
    ) -> OverQuota | None:
        del sender, message_id, now
        self.calls.append("charge")
        if self.over is None:
            self.charges.append((queue_id, recipients))
        return self.over


def _work(message: Submission) -> Work:
    return Work(message, identity.new_message_id(NOW))


def _run(message: Submission, services: _Services | None = None) -> tuple[Work, Refusal | None]:
    return pipeline.run(_work(message), services or _Services(), _SITE)


def _refusal(message: Submission, services: _Services | None = None) -> Refusal:
    used = services or _Services()
    _, refusal = _run(message, used)
    assert refusal is not None
    assert used.charges == []  # a refusal is never charged
    return refusal


def _admitted(message: Submission, **of_sender: Any) -> Work:
    work, refusal = _run(message, _Services(sender(**of_sender)))
    assert refusal is None
    return work


def _signers(message: Submission, **of_sender: Any) -> list[str]:
    return [record.domain for record in _admitted(message, **of_sender).signatures]


def test_the_order_of_the_steps() -> None:
    assert [step.__name__ for step in pipeline.STEPS] == ["who", "may", "charge", "edit", "sign"]


def test_an_ordinary_message_goes_through_every_step() -> None:
    services = _Services()
    work, refusal = _run(submission(), services)
    assert refusal is None
    assert services.calls == ["sender", "charge"]
    assert services.charges == [("4Zabc123", 1)]
    assert work.new_body is not None
    assert work.trace
    assert len(work.signature_values) == len(work.signatures) == 2


# --- who ------------------------------------------------------------------------------------------------------------


def test_no_login_is_refused_before_anything_is_asked() -> None:
    services = _Services()
    refusal = _refusal(submission(login=""), services)
    assert (refusal.reason, refusal.code, refusal.dsn) == (Reason.NO_LOGIN, 530, "5.7.0")
    assert services.calls == []


def test_an_unknown_login_is_refused() -> None:
    assert _refusal(submission(login="nobody")).reason is Reason.UNKNOWN_LOGIN


# --- may ------------------------------------------------------------------------------------------------------------


def test_a_suspended_account_is_refused_with_the_reason() -> None:
    services = _Services(sender(suspended_reason="unpaid since März"))
    refusal = _refusal(submission(), services)
    assert refusal.reason is Reason.SUSPENDED
    assert "unpaid since M?rz" in refusal.text
    assert services.calls == ["sender"]


@pytest.mark.parametrize(
    "address", ["", "max", "max@other.example", "max@sub.own.example", "own.example", "max@own.example@other.example"]
)
def test_an_envelope_sender_of_others_is_refused_and_named(address: str) -> None:
    refusal = _refusal(submission(envelope_sender=address))
    assert (refusal.reason, refusal.code) == (Reason.FOREIGN_SENDER, 550)
    assert f"<{address}>" in refusal.text


@pytest.mark.parametrize(
    "value",
    [
        b"boss@bank.example",
        b"max@own.example, boss@bank.example",
        b"Team: max@own.example, boss@bank.example;",
        b'"max@own.example" <boss@bank.example>',
    ],
)
def test_a_from_field_with_an_address_of_others_is_refused_and_named(value: bytes) -> None:
    refusal = _refusal(with_fields((b"From", value)))
    assert refusal.reason is Reason.FOREIGN_FROM
    assert "<boss@bank.example>" in refusal.text


def test_a_second_from_field_of_others_is_refused() -> None:
    message = with_fields((b"From", b"max@own.example"), (b"from", b"boss@bank.example"))
    assert _refusal(message).reason is Reason.FOREIGN_FROM


@pytest.mark.parametrize("fields", [[(b"From", b"nobody")], [(b"From", b"")], [(b"From", b'"' * 9999)]])
def test_a_from_field_that_cannot_be_read_is_refused(fields: list[tuple[bytes, bytes]]) -> None:
    assert _refusal(with_fields(*fields)).reason is Reason.NO_FROM


def test_a_message_without_a_from_field_is_refused() -> None:
    assert _refusal(submission(headers=())).reason is Reason.NO_FROM


def test_any_address_of_any_own_domain_may_send() -> None:
    message = with_fields((b"From", b"sales@Second.Example"), envelope_sender="bounces@OWN.example")
    assert _run(message)[1] is None


def test_a_refusal_is_one_short_line_of_ascii() -> None:
    refusal = _refusal(submission(envelope_sender="\x1b[31m\r\nüä\udcff" + "x" * 5000 + "@other.example"))
    assert refusal.text.isascii()
    assert refusal.text.isprintable()
    assert len(refusal.text) < 400


def test_nothing_goes_out_unsigned() -> None:
    services = _Services(sender(keys=()))
    with pytest.raises(Unavailable):
        _run(submission(), services)
    assert services.charges == []


# --- charge ---------------------------------------------------------------------------------------------------------


def test_over_quota_is_refused_with_the_limit_the_use_and_the_reset_in_the_accounts_time_zone() -> None:
    refusal = _refusal(submission(recipients=("a@x.example", "b@x.example")), _Services(over=_OVER))
    assert (refusal.reason, refusal.code, refusal.dsn) == (Reason.OVER_QUOTA, 550, "5.7.1")
    assert "50 recipients per day, 49 used, this message has 2" in refusal.text
    assert "2026-11-23 00:00 CET" in refusal.text


def test_every_recipient_is_charged() -> None:
    services = _Services()
    work, _ = _run(submission(recipients=("a@x.example", "b@x.example", "c@x.example")), services)
    assert services.charges == [("4Zabc123", 3)]
    assert work.charged_recipients == 3


# --- edit -----------------------------------------------------------------------------------------------------------


def test_the_pixel_names_the_message_and_its_only_recipient() -> None:
    work = _admitted(submission())
    assert work.new_body is not None
    text = work.new_body.partition(b"/o/")[2].partition(b".gif")[0].decode()
    token = tokens.read(text, _SITE.token_keys, NOW)
    assert token is not None
    assert (token.purpose, token.message_id, token.recipient_number) == (tokens.Purpose.PIXEL, work.message_id, 1)


def test_a_pixel_that_several_recipients_share_names_none_of_them() -> None:
    work = _admitted(submission(recipients=("a@x.example", "b@x.example")))
    assert work.new_body is not None
    token = tokens.read(work.new_body.partition(b"/o/")[2].partition(b".gif")[0].decode(), _SITE.token_keys, NOW)
    assert token is not None
    assert token.recipient_number == 0


def test_who_did_not_opt_in_gets_no_pixel() -> None:
    work = _admitted(submission(), tracking=False)
    assert (work.new_body, work.pixel) == (None, "tracking-off")


def test_mail_that_cannot_carry_a_pixel_goes_out_as_it_is_with_the_reason() -> None:
    work = _admitted(with_fields((b"Content-Type", b"text/plain")))
    assert (work.new_body, work.pixel) == (None, "not-html")


def test_every_message_carries_a_trace_that_names_it() -> None:
    work = _admitted(submission(), tracking=False)
    token = tokens.read(work.trace, _SITE.token_keys, NOW + dt.timedelta(days=3600))
    assert token is not None
    assert (token.purpose, token.message_id) == (tokens.Purpose.TRACE, work.message_id)


# --- sign -----------------------------------------------------------------------------------------------------------


def test_the_from_domain_signs_and_the_provider_not_the_accounts_other_domains() -> None:
    assert _signers(submission()) == ["own.example", "relay.example"]
    assert _signers(with_fields((b"From", b"max@second.example"))) == ["second.example", "relay.example"]


def test_the_domain_of_the_from_field_counts_not_the_envelopes() -> None:
    assert _signers(submission(envelope_sender="max@second.example")) == ["own.example", "relay.example"]


def test_the_provider_signs_alone_where_the_account_has_no_key() -> None:
    assert _signers(submission(), keys=(_PROVIDER,)) == ["relay.example"]


def test_the_own_domain_signs_alone_where_the_provider_has_no_key() -> None:
    assert _signers(submission(), keys=(signing_key(),)) == ["own.example"]


def test_two_active_keys_of_a_domain_both_sign() -> None:
    assert _signers(submission(), keys=(signing_key(), signing_key(selector="sp2"))) == ["own.example", "own.example"]


def test_what_is_signed_is_the_body_as_it_goes_out() -> None:
    work = _admitted(submission())
    assert work.new_body is not None
    assert work.body_hash == signing.body_hash(work.new_body)


def test_a_trace_field_that_the_client_brought_is_not_signed() -> None:
    work = _admitted(with_fields((b"X-SENDPROOF-trace", b"spoofed")))
    assert b"trace" not in b"".join(work.signature_values)
    assert "spoofed" not in work.trace


# --- journal --------------------------------------------------------------------------------------------------------


def test_the_journal_has_the_whole_decision() -> None:
    message = submission(recipients=("a@x.example", "b@x.example"))
    work = _admitted(message)
    assert work.new_body is not None
    record = pipeline.admitted_record(work, _SITE)
    assert record.at == NOW
    assert (record.host, record.queue_id, record.message_id) == ("edge.relay.example", "4Zabc123", work.message_id)
    assert (record.account_id, record.login, record.credential_label) == (1, "max", "laptop")
    assert (record.envelope_sender, record.recipients) == ("max@own.example", ("a@x.example", "b@x.example"))
    assert (record.message_id_header, record.subject) == ("<1@own.example>", "Offer")
    assert (record.client_address, record.client_tls) == ("192.0.2.7", "TLSv1.3 TLS_AES_256_GCM_SHA384")
    assert record.size_bytes == message.size_bytes
    assert record.signatures == (
        SignatureRecord("own.example", "sp1", "rsa-sha256"),
        SignatureRecord("relay.example", "sp1", "rsa-sha256"),
    )
    assert record.body_sha256 == hashlib.sha256(work.new_body).hexdigest()
    assert (record.pixel, record.charged_recipients) == ("inserted", 2)
    assert from_line(to_line(record)) == record


def test_the_journal_has_the_whole_refusal() -> None:
    work, refusal = _run(submission(), _Services(over=_OVER))
    assert refusal is not None
    record = pipeline.refused_record(work, refusal, _SITE)
    assert (record.account_id, record.login, record.reason) == (1, "max", "over-quota")
    assert record.reply == f"550 5.7.1 {refusal.text}"
    assert (record.queue_id, record.subject, record.recipients) == ("4Zabc123", "Offer", ("anna@example.net",))
    assert from_line(to_line(record)) == record


def test_hostile_addresses_stand_in_the_journal_as_printable_text() -> None:
    work = _work(submission(login="\x1b", envelope_sender="\udcff\x07@own.example", recipients=("\x1b[2J@x.example",)))
    record = pipeline.refused_record(work, Refusal(Reason.NO_LOGIN, 530, "5.7.0", "no"), _SITE)
    assert record.account_id is None
    assert all(text.isprintable() for text in (record.login, record.envelope_sender, *record.recipients))
    assert from_line(to_line(record)) == record
