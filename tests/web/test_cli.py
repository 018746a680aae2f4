import contextlib
import http.client
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sendproof_testing import sample_site

pytestmark = pytest.mark.integration  # starts servers

PROGRAM = [sys.executable, "-c", "from sendproof_web.cli import main; main()", "--config"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def started(config: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([*PROGRAM, str(config)], stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def health(port: int) -> int:
    deadline = time.monotonic() + 20
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        finally:
            connection.close()


def test_the_site_serves_until_it_is_told_to_end(tmp_path: Path) -> None:
    port = free_port()
    file = sample_site.prepare(tmp_path, port=port)
    with started(file.path) as process:
        assert health(port) == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Of a site that runs behind one proxy, this test."""
    number = free_port()
    file = sample_site.prepare(tmp_path_factory.mktemp("site"), port=number)
    file.path.write_text(f"{file.path.read_text()}trusted_proxies = 1\n")
    with started(file.path):
        assert health(number) == 200
        yield number


def said(port: int, request: bytes) -> bytes:
    """The whole answer to some octets."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        with contextlib.suppress(ConnectionError):  # the answer may be older than the request's end
            connection.sendall(request)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while received := connection.recv(65536):
                answer += received
    return answer


HEAD = b"Host: 127.0.0.1\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    ("request_octets", "status"),
    [
        (b"GET /messages?q=" + b"a" * 3000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n", {303}),
        (b"GET /messages?q=" + b"a" * 9000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n", {400, 414}),
        (b"GET /sign-in HTTP/1.1\r\n" + HEAD + b"X: y\r\n" * 80 + b"\r\n", {400, 431}),
        (b"GET /sign-in HTTP/1.1\r\n" + HEAD + b"X: " + b"y" * 20_000 + b"\r\n\r\n", {400, 431}),
        (b"TRACE /sign-in HTTP/1.1\r\n" + HEAD + b"X-Mine: 1\r\n\r\n", {405}),
        (b"OPTIONS /sign-in HTTP/1.1\r\n" + HEAD + b"\r\n", {200}),
        (b"HEAD /sign-in HTTP/1.1\r\n" + HEAD + b"\r\n", {200}),
        (b"CONNECT evil.example:443 HTTP/1.1\r\n" + HEAD + b"\r\n", {400, 404, 405, 421}),
        (b"GET http://evil.example/sign-in HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", {400, 421}),
        (b"GET /sign-in HTTP/1.1\r\nConnection: close\r\n\r\n", {400, 421}),
        (b"GET /sign-in\r\n\r\n", {400, 421, 505}),
        (b"POST /sign-in HTTP/1.1\r\n" + HEAD + b"Content-Length: 99999999\r\n\r\n", {400, 413}),
        (b"POST /sign-in HTTP/1.1\r\n" + HEAD + b"Content-Length: x\r\n\r\n", {400}),
        (b"POST /sign-in HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nxyz", {400}),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", {400}),
    ],
)  # fmt: skip
def test_what_no_browser_sends_is_refused_in_a_few_words(port: int, request_octets: bytes, status: set[int]) -> None:
    answer = said(port, request_octets)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert int(head.split()[1]) in status
    assert b"Traceback" not in body
    assert b"X-Mine" not in answer
    assert b"evil.example" not in answer
    if request_octets.startswith(b"HEAD"):
        assert not body


def test_nobody_but_the_proxy_says_who_the_client_is(port: int) -> None:
    spoofed = b"X-Forwarded-Prefix: /evil\r\nX-Forwarded-Host: evil.example\r\n"
    spoofed += b"SCRIPT_NAME: /evil\r\nX-Forwarded-Proto: https\r\n"
    answer = said(port, b"GET / HTTP/1.1\r\n" + HEAD + spoofed + b"X-Forwarded-Protocol: ssl\r\n\r\n")
    assert b"evil" not in answer
    assert b"\r\nLocation: /messages\r\n" in answer
    assert health(port) == 200


def refusal(config: Path) -> str:
    done = subprocess.run([*PROGRAM, str(config)], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


def test_a_port_in_use_is_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        file = sample_site.prepare(tmp_path, port=other.getsockname()[1])
        assert "cannot be used (Address already in use); choose another port." in refusal(file.path)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ("trusted_proxies = 9\n", "[web] trusted_proxies must be between 0 and 5, not 9."),
        ("colour = 1\n", "[web] has no setting 'colour'"),
        ("[queue]\nlifetime_seconds = -1\n", "[queue] lifetime_seconds must be at least 0"),
    ],
)
def test_a_wrong_setting_is_a_sentence(tmp_path: Path, damage: str, sentence: str) -> None:
    file = sample_site.prepare(tmp_path, port=free_port())
    file.path.write_text(file.path.read_text() + damage)
    assert sentence in refusal(file.path)


def test_a_database_without_our_tables_is_a_sentence(tmp_path: Path) -> None:
    file = sample_site.prepare(tmp_path, port=free_port())
    for path in tmp_path.glob("sendproof.db*"):
        path.unlink()
    assert "run `sendproof database upgrade`" in refusal(file.path)


def test_missing_settings_are_a_sentence(tmp_path: Path) -> None:
    assert "does not exist; name one with --config." in refusal(tmp_path / "none.toml")
