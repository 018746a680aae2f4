import base64

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from sendproof_core import dkim_keys


def test_a_pair_is_rsa_2048_and_its_halves_belong_together() -> None:
    pair = dkim_keys.generate_rsa()
    private = dkim_keys.load_rsa(pair.private_pem)
    public = serialization.load_der_public_key(base64.b64decode(pair.public_key))
    assert isinstance(public, rsa.RSAPublicKey)
    assert public.key_size == 2048
    assert private.public_key().public_numbers() == public.public_numbers()
    assert "PRIVATE" not in repr(pair)


def test_another_kind_of_key_or_none_is_refused() -> None:
    ed = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for pem in (ed, b"", b"no key"):
        with pytest.raises(ValueError, match=r"(?i)key|pem|deserialize"):
            dkim_keys.load_rsa(pem)
