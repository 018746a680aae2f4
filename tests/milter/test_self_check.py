import logging

import pytest

from sendproof_core import clock, dkim_keys
from sendproof_milter import self_check, signing
from sendproof_milter.sender import SigningKey
from sendproof_testing.submissions import signing_key, submission

_BODY = b"Hello\r\n"


def _ed25519_key() -> SigningKey:
    pair = dkim_keys.generate(dkim_keys.ED25519_SHA256)
    return SigningKey("own.example", "ed", pair.algorithm, dkim_keys.load(pair.algorithm, pair.private_pem))


def _value() -> bytes:
    # dkimpy judges by the clock whether a signature has expired
    return signing.sign(submission().headers, signing.body_hash(_BODY), signing_key(), clock.now())


def test_our_own_signature_verifies(caplog: pytest.LogCaptureFixture) -> None:
    assert self_check.verify("4Z", submission().headers, _value(), _BODY, [signing_key()])
    assert caplog.records == []


def test_an_ed25519_signature_verifies_and_only_with_its_key(caplog: pytest.LogCaptureFixture) -> None:
    key, other = (_ed25519_key() for _ in range(2))
    value = signing.sign(submission().headers, signing.body_hash(_BODY), key, clock.now())
    assert self_check.verify("4Z", submission().headers, value, _BODY, [signing_key(), key])
    assert caplog.records == []
    assert not self_check.verify("4Z", submission().headers, value, _BODY, [signing_key(), other])
    assert not self_check.verify("4Z", submission().headers, value, b"Hallo\r\n", [key])
    assert caplog.text.count("does-not-verify") == 2


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
