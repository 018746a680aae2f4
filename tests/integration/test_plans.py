"""What a plan, a suspension and test mode do to a client's mail: its replies, what arrives, what is charged."""

import re
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from sendproof_core import clock, directory, transcript_queries
from sendproof_core.database import Database
from sendproof_core.plans import QuotaLimits
from sendproof_core.transcripts import RefusalView
from sendproof_testing import dkim_verifier, mail, received_copy
from sendproof_testing.customers import Customer, add_customers
from sendproof_testing.installation import ACCEPT, PROVIDER_DOMAIN
from sendproof_testing.sandbox import Sandbox
from sendproof_testing.sending import Reply, send

pytestmark = [pytest.mark.integration]

# A change of the directory is known to all workers so long after it at the latest.
DIRECTORY_SECONDS = 5.0
FOREIGN_ADDRESS = "max.private@freemail.example"

CUSTOMERS = 20


@pytest.fixture(scope="module")
def customers(sandbox: Sandbox) -> Iterator[Iterator[Customer]]:
    """Accounts of which the milter has not heard yet: one for each test."""
    database = sandbox.database()
    yield iter(add_customers(sandbox, database, CUSTOMERS))
    database.close()


@pytest.fixture
def customer(customers: Iterator[Customer]) -> Customer:
    """An account of the test's own, without any limit so far."""
    _keep_clear_of_the_hour()
    return next(customers)


def _keep_clear_of_the_hour() -> None:
    """A count that begins at nothing in mid-test would prove nothing."""
    left = 3600 - clock.now().timestamp() % 3600
    if left < 20:
        time.sleep(left + 1)


def content(sender: str, *, octets: int = 0, fields: str = "") -> bytes:
    return (
        f"From: {sender}\r\nTo: anna@example.net\r\nSubject: Plans\r\n{fields}"
        f"MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n{'x' * 70 + chr(13) + chr(10)}"
    ).encode() + (b"y" * 70 + b"\r\n") * (octets // 72)


def submit(sandbox: Sandbox, customer: Customer, *recipients: str, octets: int = 0) -> Reply:
    """``recipients``: local parts."""
    addresses = [f"{customer.name}.{name}@{ACCEPT}" for name in recipients]
    return send(sandbox, addresses, content(customer.login.address, octets=octets), login=customer.login)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (QuotaLimits(recipients_per_hour=3), "3 recipients per hour, 2 used, this message has 2"),
        (QuotaLimits(messages_per_hour=1), "1 messages per hour, 1 used, this message counts 1"),
    ],
)
def test_an_hour_s_limit_is_a_temporary_refusal(
    sandbox: Sandbox, customer: Customer, limits: QuotaLimits, said: str
) -> None:
    customer.limit(limits)
    assert submit(sandbox, customer, "a", "b").accepted
    reply = submit(sandbox, customer, "c", "d")
    assert reply.code == 452
    assert reply.text.startswith("4.7.1 Plan limit reached: ")
    assert said in reply.text
    assert re.search(r"the count resets at \d{4}-\d\d-\d\d \d\d:00 UTC", reply.text)
    assert customer.charged == 2
    assert {use.messages for use in customer.used.values()} == {1}


@pytest.mark.parametrize(
    ("limits", "said", "reset"),
    [
        (QuotaLimits(recipients_per_day=3), "3 recipients per day, 2 used, this message has 2", r"-\d\d 00:00 CES?T"),
        (QuotaLimits(messages_per_day=1), "1 messages per day, 1 used, this message counts 1", r"-\d\d 00:00 CES?T"),
        (QuotaLimits(recipients_per_month=3), "3 recipients per month, 2 used, this message has 2", "-01 00:00 CES?T"),
        (QuotaLimits(messages_per_month=1), "1 messages per month, 1 used, this message counts 1", "-01 00:00 CES?T"),
    ],
)
def test_a_day_s_or_month_s_limit_is_a_final_refusal(
    sandbox: Sandbox, customer: Customer, limits: QuotaLimits, said: str, reset: str
) -> None:
    customer.limit(limits, time_zone="Europe/Vienna")
    assert submit(sandbox, customer, "a", "b").accepted
    reply = submit(sandbox, customer, "c", "d")
    assert reply.code == 550
    assert reply.text.startswith("5.7.1 Plan limit reached: ")
    assert said in reply.text
    assert re.search(rf"the count resets at \d{{4}}-\d\d{reset}", reply.text)
    assert customer.charged == 2


def test_what_never_fits_is_refused_for_good_also_by_the_hour(sandbox: Sandbox, customer: Customer) -> None:
    customer.limit(QuotaLimits(recipients_per_hour=2))
    reply = submit(sandbox, customer, "a", "b", "c")
    assert reply.code == 550
    assert "this message alone has 3" in reply.text
    assert submit(sandbox, customer, "a", "b").accepted
    assert customer.charged == 2


@pytest.mark.parametrize(
    ("limits", "octets", "said"),
    [
        (
            QuotaLimits(recipients_per_message=2),
            0,
            "550 5.5.3 Plan limit: 2 recipients per message, this message has 3",
        ),
        (QuotaLimits(message_octets=1000), 5000, "552 5.3.4 Plan limit: 1000 octets per message, this message has 5"),
    ],
)
def test_the_limits_of_one_message(
    sandbox: Sandbox, customer: Customer, limits: QuotaLimits, octets: int, said: str
) -> None:
    customer.limit(limits)
    reply = submit(sandbox, customer, "a", "b", "c", octets=octets)
    assert f"{reply.code} {reply.text}".startswith(said)
    assert customer.charged == 0
    assert submit(sandbox, customer, "a", "b").accepted


def test_at_the_limit_of_new_recipients_old_acquaintances_get_their_mail(sandbox: Sandbox, customer: Customer) -> None:
    customer.limit(QuotaLimits(new_recipients_per_day=2))
    assert submit(sandbox, customer, "a", "b").accepted
    reply = submit(sandbox, customer, "a", "c")
    assert reply.code == 550
    assert "2 new recipients per day, 2 used, this message has 1" in reply.text
    assert submit(sandbox, customer, "a", "b").accepted
    # Who was refused did not become known by it.
    assert submit(sandbox, customer, "c").code == 550
    assert customer.charged == 4
    assert customer.used["day"].new_recipients == 2


def test_a_refusal_is_on_the_record(sandbox: Sandbox, customer: Customer, database: Database) -> None:
    customer.limit(QuotaLimits(recipients_per_day=1))
    reply = submit(sandbox, customer, "a", "b")

    def refusals() -> tuple[RefusalView, ...]:
        with database.reading() as session:
            return transcript_queries.list_refusals(session, customer.account_id, limit=5)

    (found,) = mail.wait_until(refusals, 20, "the refusal in the record")
    assert found.reason == "over-quota"
    assert found.reply == f"{reply.code} {reply.text}"


def test_a_larger_plan_takes_effect_within_seconds(sandbox: Sandbox, customer: Customer) -> None:
    customer.limit(QuotaLimits(recipients_per_day=1))
    assert submit(sandbox, customer, "a").accepted
    assert submit(sandbox, customer, "b").code == 550
    command = sandbox.command("plan", "change", customer.name, "--recipients-per-day", "2")
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    within_seconds(lambda: submit(sandbox, customer, "b").accepted)
    assert customer.charged == 2


def within_seconds(look: Callable[[], bool]) -> None:
    """Wait for a change of the directory to show; no longer than promised."""
    began = time.monotonic()
    while not look():
        assert time.monotonic() - began < DIRECTORY_SECONDS
        time.sleep(0.2)


def test_a_suspension_stops_mail_within_seconds_and_says_why(sandbox: Sandbox, customer: Customer) -> None:
    # Both workers know the account as one that may send.
    assert all(submit(sandbox, customer, "a").accepted for _ in range(6))
    customer.change(lambda _session, account: directory.suspend(account, "Unpaid since June", clock.now()))
    time.sleep(DIRECTORY_SECONDS)
    for _ in range(6):
        reply = submit(sandbox, customer, "a")
        assert (reply.code, reply.text) == (550, "5.7.1 This account is suspended: Unpaid since June")
    assert customer.charged == 6
    customer.change(lambda _session, account: directory.reinstate(account))
    within_seconds(lambda: submit(sandbox, customer, "a").accepted)


def test_in_test_mode_mail_is_accepted_thrown_away_and_not_charged(
    sandbox: Sandbox, customer: Customer, database: Database
) -> None:
    customer.limit(QuotaLimits(recipients_per_day=1))
    customer.change(lambda session, account: directory.change_account(session, account, test_mode=True))
    reply = submit(sandbox, customer, "a", "b")
    assert reply.accepted, reply

    def told() -> str | None:
        done = subprocess.run(
            sandbox.command("transcript", "show", reply.queue_id),
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        return done.stdout if "test mode" in done.stdout else None

    story = mail.wait_until(told, 20, "test mode in the transcript")
    assert f"{customer.name}.a@{ACCEPT}" in story
    assert f"{customer.name}.b@{ACCEPT}" in story
    assert "was not delivered" in story
    assert customer.charged == 0
    log = sandbox.installation.maillog.read_text(errors="replace")
    assert f"{reply.queue_id}: to=" not in log
    assert not [raw for raw in mail.received(sandbox.installation.mail_folder) if f"{customer.name}.a".encode() in raw]
    with database.reading() as session:
        (summary,) = transcript_queries.list_messages(session, customer.account_id, limit=5)
    assert [address for address, _ in summary.recipients] == [
        f"{customer.name}.a@{ACCEPT}",
        f"{customer.name}.b@{ACCEPT}",
    ]


def test_an_own_address_at_a_foreign_domain_may_be_sent_as(sandbox: Sandbox, customer: Customer) -> None:
    recipient = f"{customer.name}.a@{ACCEPT}"

    def as_foreign(address: str) -> Reply:
        return send(sandbox, [recipient], content(address), sender=address, login=customer.login)

    refused = as_foreign(FOREIGN_ADDRESS)
    assert refused.code == 550
    assert FOREIGN_ADDRESS in refused.text
    command = sandbox.command("account", "address-add", customer.login.login, FOREIGN_ADDRESS)
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    within_seconds(lambda: as_foreign("Max.Private@Freemail.example").accepted)
    # The address, not its domain
    assert as_foreign("other@freemail.example").code == 550
    made = sandbox.installation
    (raw,) = mail.wait_until(lambda: mail.received_by(made.mail_folder, recipient), 20, "the mail")
    verdicts = dkim_verifier.verify(raw, made.public_keys)
    assert [(verdict.domain, verdict.result) for verdict in verdicts] == [(PROVIDER_DOMAIN, "pass")]


def test_a_read_receipt_with_the_null_sender_goes_out_signed_and_charged(sandbox: Sandbox, customer: Customer) -> None:
    recipient = f"{customer.name}.a@{ACCEPT}"
    reply = send(sandbox, [recipient], content(customer.login.address), sender="", login=customer.login)
    assert reply.accepted, reply
    made = sandbox.installation
    (raw,) = mail.wait_until(lambda: mail.received_by(made.mail_folder, recipient), 20, "the receipt")
    assert dict(received_copy.fields(raw))["Return-Path"] == b"<>"
    assert not dkim_verifier.failed_signatures({recipient: raw}, made.public_keys, [PROVIDER_DOMAIN])
    assert customer.charged == 1
    # From is looked at all the same.
    assert send(sandbox, [recipient], content("boss@bank.example"), sender="", login=customer.login).code == 550
