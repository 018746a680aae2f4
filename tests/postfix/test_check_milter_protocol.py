"""The first exchange of the milter protocol."""

import socket
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_postfix import check_milter_protocol
from sendproof_postfix.check_milter_protocol import CHANGE_BODY, SET_MACROS, Negotiated, NoMilter, negotiate, packet
from sendproof_testing import unix_server


def answer(actions: int, macros: str = "") -> bytes:
    symbols = struct.pack("!I", 2) + macros.encode() + b"\0" if macros else b""
    return packet(b"O", struct.pack("!III", 6, actions, 0) + symbols)


def test_a_milter_says_what_it_wants_to_be_allowed_and_to_know(tmp_path: Path) -> None:
    asked: list[bytes] = []

    def remember(question: bytes) -> bytes:
        asked.append(question)
        return answer(CHANGE_BODY | SET_MACROS, "i {auth_authen}")

    with unix_server.answering(tmp_path / "socket", remember):
        negotiated = negotiate(f"unix:{tmp_path}/socket")
    assert negotiated.changes_message
    assert not negotiated.adds_fields
    assert negotiated.macros == {"mail": ("i", "{auth_authen}")}
    assert asked == [packet(b"O", struct.pack("!III", 6, 0x1FF, 0x1FFFFF))]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"", "closed the connection"),
        (b"220 mail.example ESMTP\r\n", "does not speak the milter protocol"),
        (packet(b"t"), "does not speak the milter protocol"),
        (packet(b"O", b"\0\0"), "does not speak the milter protocol"),
    ],
)
def test_what_is_no_milter_is_said_to_be_none(tmp_path: Path, said: bytes, reason: str) -> None:
    with (
        unix_server.answering(tmp_path / "socket", lambda _asked: said),
        pytest.raises(NoMilter, match=reason),
    ):
        # An answer that is not whole is the end of the connection.
        negotiate(f"unix:{tmp_path}/socket")


def test_a_socket_that_nobody_listens_at_is_said_in_the_systems_words(tmp_path: Path) -> None:
    with pytest.raises(NoMilter, match="No such file"):
        negotiate(f"unix:{tmp_path}/socket")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(NoMilter, match="refused"):
            negotiate(f"inet:127.0.0.1:{closed.getsockname()[1]}")
    with pytest.raises(NoMilter, match="no endpoint"):
        negotiate("nonsense")


@given(st.binary())
def test_any_answer_is_a_negotiation_or_none(octets: bytes) -> None:
    for payload in (octets, b"O" + octets):
        try:
            negotiated = check_milter_protocol.read_answer(payload)
        except NoMilter:
            continue
        assert isinstance(negotiated, Negotiated)
