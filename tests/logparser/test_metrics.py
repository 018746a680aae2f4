import socket
import urllib.error
import urllib.request
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from sendproof_core.errors import UserError
from sendproof_logparser.metrics import BatchCounts, Metrics

_SOURCE = "relay.example:/var/log/mail.log"


def _port(address: str = "127.0.0.1") -> tuple[Metrics, int]:
    metrics = Metrics()
    return metrics, metrics.serve(f"{address}:0")


def _scraped(port: int) -> dict[str, float]:
    """What a monitor reads: "lines_total understood" -> value."""
    with closing(urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10)) as answer:
        text = answer.read().decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {
        " ".join((sample.name.removeprefix("sendproof_logparser_"), *sample.labels.values())): sample.value
        for sample in samples
        if not sample.name.endswith(("_created", "_bucket"))
    }


def test_a_monitor_reads_what_batches_added_up_to() -> None:
    metrics, port = _port()
    metrics.took(
        BatchCounts(
            understood=7,
            irrelevant=5,
            other_program=2,
            unknown_by_daemon={"smtpd": 2, None: 1},
            rows=11,
            gaps=1,
            lost_lines=40,
            open_conversations=3,
            seconds=0.25,
        )
    )
    metrics.took(BatchCounts(understood=1, rows=1, open_conversations=1, seconds=0.5))
    numbers = _scraped(port)
    assert numbers["lines_total understood"] == 8
    assert numbers["lines_total irrelevant"] == 5
    assert numbers["lines_total other-program"] == 2
    assert numbers["lines_total unknown"] == 3
    assert numbers["unknown_lines_total smtpd"] == 2
    assert numbers["unknown_lines_total none"] == 1
    assert numbers["rows_total"] == 12
    assert (numbers["gaps_total"], numbers["lost_lines_total"]) == (1, 40)
    assert numbers["open_conversations"] == 1
    assert (numbers["batch_seconds_count"], numbers["batch_seconds_sum"]) == (2, 0.75)
    assert numbers["process_resident_memory_bytes"] > 1_000_000


def test_a_reader_that_has_read_everything_does_not_lag() -> None:
    metrics, port = _port()
    metrics.lag(_SOURCE, 90.0, 4096)
    assert _scraped(port)[f"lag_seconds {_SOURCE}"] == 90
    assert _scraped(port)[f"unread_bytes {_SOURCE}"] == 4096
    metrics.lag(_SOURCE, 3600.0, 0)  # nobody has sent mail for an hour
    assert _scraped(port)[f"lag_seconds {_SOURCE}"] == 0
    assert _scraped(port)[f"unread_bytes {_SOURCE}"] == 0
    metrics.lag(_SOURCE, -2.0, 10)  # the host that logs is two seconds ahead
    assert _scraped(port)[f"lag_seconds {_SOURCE}"] == 0


def test_open_recipients_lost_ones_and_waits_for_the_database_are_shown() -> None:
    metrics, port = _port()
    metrics.open_entries({"queued": 2, "deferred": 30})
    metrics.open_entries({"queued": 0, "deferred": 31, "held": 1})
    metrics.database_away(0.5)
    metrics.database_away(1.0)
    metrics.marked_unknown(silent=3, unheard=0)
    metrics.marked_unknown(silent=0, unheard=2)
    numbers = _scraped(port)
    assert (numbers["marked_unknown_total silent"], numbers["marked_unknown_total unheard"]) == (3, 2)
    found = [numbers[f"open_recipients {state}"] for state in ("queued", "deferred", "held")]
    assert found == [0, 31, 1]
    assert (numbers["database_pauses_total"], numbers["database_away_seconds_total"]) == (2, 1.5)


def test_every_result_is_shown_from_the_start() -> None:
    """An alarm on a series that does not exist yet never rings."""
    _, port = _port()
    numbers = _scraped(port)
    results = ("understood", "irrelevant", "other-program", "unknown")
    assert [numbers[f"lines_total {result}"] for result in results] == [0] * 4


def test_programs_with_ever_new_names_do_not_fill_the_monitor() -> None:
    metrics, port = _port()
    for number in range(500):
        metrics.took(BatchCounts(unknown_by_daemon={f"daemon{number}": 1}))
    metrics.took(BatchCounts(unknown_by_daemon={"daemon0": 1}))
    by_daemon = {name: value for name, value in _scraped(port).items() if name.startswith("unknown_lines_total ")}
    assert len(by_daemon) == 51
    assert by_daemon["unknown_lines_total daemon0"] == 2
    assert by_daemon["unknown_lines_total other"] == 450


def test_what_a_program_is_called_cannot_forge_a_number() -> None:
    metrics, port = _port()
    metrics.took(BatchCounts(unknown_by_daemon={'x"} 5\nsendproof_logparser_rows_total 9': 1}))
    assert _scraped(port)["rows_total"] == 0


@pytest.mark.parametrize(
    "address", ["", "9100", ":9100", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:70000", "192.0.2.1:9"]
)
def test_an_address_that_cannot_be_used_is_named(address: str) -> None:
    with pytest.raises(UserError, match=r"\[logparser\] metrics cannot be served at"):
        Metrics().serve(address)


@given(st.text())
def test_any_address_is_served_or_refused_in_a_sentence(address: str) -> None:
    with pytest.raises(UserError):
        Metrics().serve(f"192.0.2.1:{address}")


def test_a_port_that_is_taken_is_named() -> None:
    _, port = _port()
    with pytest.raises(UserError, match=f"127.0.0.1:{port}"):
        Metrics().serve(f"127.0.0.1:{port}")


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_an_ipv6_address_has_brackets() -> None:
    port = Metrics().serve("[::1]:0")
    with closing(urllib.request.urlopen(f"http://[::1]:{port}/metrics", timeout=10)) as answer:
        assert answer.status == 200


def test_a_monitor_can_change_nothing() -> None:
    _, port = _port()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", data=b"rows=9", method="POST")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    assert caught.value.code == 405
    caught.value.close()
