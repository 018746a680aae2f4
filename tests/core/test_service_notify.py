import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_core.clock import monotonic_seconds
from sendproof_core.service_notify import ServiceNotifier

_PID = 7


class Systemd:
    """The other end of the line: a real socket, with or without a name in the file system."""

    def __init__(self, name: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(name.replace("@", "\0", 1) if name.startswith("@") else name)
        self.socket.setblocking(False)
        self.environment = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "4000000", "WATCHDOG_PID": str(_PID)}

    def heard(self) -> list[str]:
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(65_536).decode())
            except BlockingIOError:
                return messages


class Seconds:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    made = Systemd(f"{tmp_path}/notify" if request.param == "path" else f"@sendproof-test-{uuid.uuid4()}")
    yield made
    made.socket.close()


def test_systemd_hears_what_the_service_says(systemd: Systemd) -> None:
    notifier = ServiceNotifier(systemd.environment, _PID, monotonic_seconds)
    notifier.ready()
    notifier.status("reading; 0 octets behind, für jetzt")
    notifier.alive()
    notifier.stopping()
    assert systemd.heard() == ["READY=1", "STATUS=reading; 0 octets behind, für jetzt", "WATCHDOG=1", "STOPPING=1"]


def test_the_watchdog_hears_from_a_quick_loop_no_more_than_it_needs(systemd: Systemd) -> None:
    seconds = Seconds()
    notifier = ServiceNotifier(systemd.environment, _PID, seconds)
    assert notifier.watchdog_seconds == 4
    for _ in range(100):
        notifier.alive()
        seconds.now += 0.05
    assert systemd.heard() == ["WATCHDOG=1"] * 5


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),  # our parent's, which we have inherited
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "9" * 5000}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_ours_or_nobodys(environment: dict[str, str], expected: float | None) -> None:
    notifier = ServiceNotifier({"NOTIFY_SOCKET": "/nowhere", **environment}, _PID, monotonic_seconds)
    assert notifier.watchdog_seconds == expected


def test_nothing_is_said_to_a_watchdog_that_does_not_look(systemd: Systemd) -> None:
    notifier = ServiceNotifier({"NOTIFY_SOCKET": systemd.environment["NOTIFY_SOCKET"]}, _PID, monotonic_seconds)
    notifier.alive()
    assert systemd.heard() == []


def test_the_same_status_is_sent_once(systemd: Systemd) -> None:
    notifier = ServiceNotifier(systemd.environment, _PID, monotonic_seconds)
    for text in ("reading", "reading", "waiting", "reading"):
        notifier.status(text)
    assert systemd.heard() == ["STATUS=reading", "STATUS=waiting", "STATUS=reading"]


@given(st.text())
def test_a_status_is_one_line_of_one_message(text: str) -> None:
    there = Systemd(f"@sendproof-test-{uuid.uuid4()}")
    with there.socket:
        ServiceNotifier(there.environment, _PID, monotonic_seconds).status(text)
        messages = there.heard()
    assert len(messages) == (1 if text else 0)
    assert all(message.startswith("STATUS=") and not {"\n", "\0"} & set(message) for message in messages)


@pytest.mark.parametrize(
    "name", ["", "vsock:2:1234", "/nowhere/notify", f"/{'x' * 200}", f"@{'x' * 200}", "relative", "@"]
)
def test_without_systemd_nothing_happens(name: str) -> None:
    notifier = ServiceNotifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1000"}, _PID, monotonic_seconds)
    for _ in range(2):
        notifier.ready()
        notifier.status("reading")
        notifier.alive()
        notifier.stopping()


def test_a_manager_that_does_not_read_is_not_waited_for(systemd: Systemd) -> None:
    seconds = Seconds()
    notifier = ServiceNotifier(systemd.environment, _PID, seconds)
    began = monotonic_seconds()
    for _ in range(2000):
        notifier.ready()
    assert monotonic_seconds() - began < 2
    assert 0 < len(systemd.heard()) < 2000
    notifier.alive()
    assert systemd.heard() == ["WATCHDOG=1"]


def test_a_sign_of_life_that_did_not_arrive_is_sent_again(tmp_path: Path) -> None:
    name = f"{tmp_path}/notify"
    first = Systemd(name)
    notifier = ServiceNotifier(first.environment, _PID, Seconds())
    first.socket.close()
    Path(name).unlink()
    notifier.alive()
    second = Systemd(name)
    with second.socket:
        notifier.alive()
        notifier.alive()
        assert second.heard() == ["WATCHDOG=1"]
