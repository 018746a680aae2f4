import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_core import receipt
from sendproof_core.receipt import Receiver

CORPUS = Path(__file__).parents[1] / "corpus" / "receipts.txt"


def cases() -> list[tuple[str, str, str, str]]:
    """Of each: the kind of receiver, its queue id, the relay, the reply."""
    lines = [line for line in CORPUS.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    found = []
    for expectation, reply in zip(lines[::2], lines[1::2], strict=True):
        receiver, remote_id, *relay = expectation.split(" | ")
        found.append((receiver, remote_id, relay[0] if relay else "mx.example.net[192.0.2.25]:25", reply))
    return found


@pytest.mark.parametrize(("receiver", "remote_id", "relay", "reply"), cases())
def test_receivers_are_known_by_how_they_acknowledge(receiver: str, remote_id: str, relay: str, reply: str) -> None:
    read = receipt.read(reply, relay)
    assert read is not None
    assert (str(read.receiver or "-"), read.remote_queue_id or "-") == (receiver, remote_id)
    assert read.text == reply
    assert receipt.remote_queue_id(reply) == read.remote_queue_id


def test_every_kind_of_receiver_has_a_real_reply() -> None:
    assert {receiver for receiver, *_ in cases()} >= {receiver.value for receiver in Receiver}


def test_a_receipt_has_its_codes_and_its_lines() -> None:
    read = receipt.read("250-2.0.0 first 250 2.0.0 second")
    assert read is not None
    assert (read.code, read.enhanced_code, read.lines) == (250, "2.0.0", ("250-2.0.0 first", "250 2.0.0 second"))
    read = receipt.read("250 ok")
    assert read is not None
    assert (read.code, read.enhanced_code, read.lines) == (250, None, ("250 ok",))


@pytest.mark.parametrize(
    "text", ["delivered to mailbox", "forwarded as 4jXGhv3lVdzJPyT", "550 5.1.1 no", "host h[1.2.3.4] said: 250 ok", ""]
)
def test_where_no_server_acknowledged_there_is_no_receipt(text: str) -> None:
    assert receipt.read(text) is None


def test_a_service_is_known_by_its_hosts_and_by_no_look_alike() -> None:
    def receiver(relay: str) -> Receiver | None:
        read = receipt.read("250 ok", relay)
        assert read is not None
        return read.receiver

    assert receiver("eu-smtp-inbound-1.mimecast.com[195.130.217.1]:25") is Receiver.MIMECAST
    assert receiver("example-net.mail.protection.outlook.com[192.0.2.1]:25") is Receiver.EXCHANGE
    assert receiver("notmimecast.com[192.0.2.1]:25") is None
    assert receiver("mimecast.com.example.net[192.0.2.1]:25") is None


@given(st.text() | st.from_regex(r"250 .{0,50}(queued as|OK id=|Message accepted for delivery| - gsmtp).{0,50}"))
def test_no_text_makes_it_fail_and_an_id_is_a_part_of_it(text: str) -> None:
    remote_id = receipt.remote_queue_id(text)
    assert remote_id is None or remote_id in text
    read = receipt.read(text)
    assert read is None or read.lines


@pytest.mark.parametrize(
    "piece", ["a", "-", "250 OK ", "queued on a", "x Message ", "<", "!1", "ok 1 qp 2 ", "mimecast"]
)
def test_a_hostile_reply_takes_no_longer_than_its_length(piece: str) -> None:
    triggers = " Message accepted for delivery - gsmtp qp queued on mail accepted for delivery mimecast > "
    text = "250 2.6.0 " + triggers + piece * (20_000 // len(piece)) + triggers
    began = time.perf_counter()
    receipt.remote_queue_id(text)
    assert time.perf_counter() - began < 0.5
