"""Make DKIM keys and load them for signing. RSA-2048 (RFC 8301 section 3.2); stores nothing."""

import base64
from dataclasses import dataclass

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

RSA_SHA256 = "rsa-sha256"
_RSA_BITS = 2048


@dataclass(frozen=True, repr=False)
class KeyPair:
    """A key pair on its way to the store. Not printable: it holds a private key."""

    algorithm: str
    private_pem: bytes
    # base64 of the SubjectPublicKeyInfo, as in a record's p=
    public_key: str


def generate_rsa() -> KeyPair:
    """A new RSA-2048 pair."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return KeyPair(RSA_SHA256, pem, base64.b64encode(public).decode("ascii"))


def load_rsa(private_pem: bytes) -> rsa.RSAPrivateKey:
    """A key for signing. It was validated when it was made: validating again takes 70 ms.

    Raises:
        ValueError: it is no RSA private key.
    """
    key = serialization.load_pem_private_key(private_pem, password=None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("not an RSA private key")  # noqa: TRY004 - the file is wrong, not our call
    return key
