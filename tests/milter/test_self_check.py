import logging

import pytest

from sendproof_core import clock
from sendproof_milter import self_check, signing
from sendproof_testing.submissions import signing_key, submission

_BODY = b"Hello\r\n"


def _value() -> bytes:
    # dkimpy judges by the clock whether a signature has expired
    return signing.sign(submission().headers, signing.body_hash(_BODY), signing_key(), clock.now())


def test_our_own_signature_verifies(caplog: pytest.LogCaptureFixture) -> None:
    assert self_check.verify("4Z", submission().headers, _value(), _BODY, [signing_key()])
    assert caplog.records == []


@pytest.mark.parametrize("body", [b"Hallo\r\n", b""])
def test_a_signature_that_does_not_verify_is_an_alarm(body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    assert not self_check.verify("4Z", submission().headers, _value(), body, [signing_key()])
    assert caplog.records[0].levelno == logging.ERROR
    assert "queue_id=4Z event=own-signature-does-not-verify" in caplog.text


def test_a_key_that_is_not_ours_is_an_alarm(caplog: pytest.LogCaptureFixture) -> None:
    assert not self_check.verify("4Z", submission().headers, _value(), _BODY, [signing_key("other.example")])
    assert "does-not-verify" in caplog.text


def test_a_signature_that_cannot_be_read_is_an_alarm(caplog: pytest.LogCaptureFixture) -> None:
    assert not self_check.verify("4Z", submission().headers, b"v=1; a=nonsense", _BODY, [signing_key()])
    assert "does-not-verify" in caplog.text
