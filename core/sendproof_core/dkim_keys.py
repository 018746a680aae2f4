"""Make DKIM keys, take those that others made, and load them for signing (RFC 8301, RFC 8463). Stores nothing.

No error's text shows a key, and none carries cryptography's own error with it.
"""

import base64
import re
from dataclasses import dataclass
from typing import TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from sendproof_core.errors import UserError

RSA_SHA256 = "rsa-sha256"
ED25519_SHA256 = "ed25519-sha256"
ALGORITHMS = (RSA_SHA256, ED25519_SHA256)
_RSA_BITS = 2048
# RFC 8301 section 3.2: verifiers must know 1024 to 4096, signers should use 2048 at least; receivers grade 1024 down.
_IMPORTED_RSA_BITS = range(2048, 4096 + 1)
_LONGEST_PEM = 65_536
_KEY_TYPE = {RSA_SHA256: "rsa", ED25519_SHA256: "ed25519"}
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,60})-----.+?-----END \1-----", re.DOTALL)

SigningPrivateKey: TypeAlias = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True, repr=False)
class KeyPair:
    """A key pair on its way to the store. Not printable: it holds a private key."""

    algorithm: str
    private_pem: bytes
    # as in a record's p=
    public_key: str


def generate(algorithm: str) -> KeyPair:
    """A new pair: RSA-2048 or Ed25519."""
    if algorithm == ED25519_SHA256:
        return _pair(ed25519.Ed25519PrivateKey.generate())
    return _pair(rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS))


def import_key(pem: bytes) -> KeyPair:
    """The pair of a private key that another program made: PEM, PKCS#1 or PKCS#8, validated here and never again.

    Raises:
        UserError: it is no key that may sign; the sentence says what to give instead.
    """
    block = _private_block(pem)
    key = _parse(block)
    if key is None:
        raise UserError(
            "the private key is damaged: its PEM text cannot be decoded, or its numbers do not fit together."
        )
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return _pair(key)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise UserError("DKIM signs with RSA or Ed25519 keys; this key is of another kind.")
    if key.key_size not in _IMPORTED_RSA_BITS:
        raise UserError(
            f"the RSA key has {key.key_size} bits; give one of {_IMPORTED_RSA_BITS[0]} to {_IMPORTED_RSA_BITS[-1]} "
            "(RFC 8301), or let `sendproof domain rotate` make one."
        )
    return _pair(key)


def load(algorithm: str, private_pem: bytes) -> SigningPrivateKey:
    """A stored key for signing. It was validated when it was made or imported: RSA takes 70 ms for that.

    Raises:
        ValueError: it is no private key of that algorithm.
    """
    key = serialization.load_pem_private_key(private_pem, password=None, unsafe_skip_rsa_key_validation=True)
    if algorithm == RSA_SHA256 and isinstance(key, rsa.RSAPrivateKey):
        return key
    if algorithm == ED25519_SHA256 and isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    raise ValueError(f"not a private key for {algorithm}")


def public_key_text(key: SigningPrivateKey) -> str:
    """What a record's p= says: RSA as SubjectPublicKeyInfo, Ed25519 as its 32 octets (RFC 8463 section 4)."""
    public = key.public_key()
    if isinstance(public, ed25519.Ed25519PublicKey):
        octets = public.public_bytes_raw()
    else:
        octets = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(octets).decode("ascii")


def record_text(algorithm: str, public_key: str) -> str:
    """The text of the TXT record (RFC 6376 section 3.6.1); an empty ``public_key`` revokes."""
    return f"v=DKIM1; k={_KEY_TYPE[algorithm]}; p={public_key}"


def _pair(key: SigningPrivateKey) -> KeyPair:
    algorithm = RSA_SHA256 if isinstance(key, rsa.RSAPrivateKey) else ED25519_SHA256
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return KeyPair(algorithm, pem, public_key_text(key))


def _private_block(pem: bytes) -> bytes:
    """The one private key of a PEM text, which may have certificates or comments around it."""
    if len(pem) > _LONGEST_PEM:
        raise UserError("that is too large to be a private key; give the PEM file of one.")
    blocks = {match[0]: match[1] for match in _BLOCK.finditer(pem)}
    private = [block for block, label in blocks.items() if label.endswith(b"PRIVATE KEY")]
    if len(private) > 1:
        raise UserError("there are several private keys in it; give one at a time.")
    if not private:
        found = next(iter(blocks.values()), b"")
        what = {b"CERTIFICATE": "that is a certificate", b"PUBLIC KEY": "that is the public key"}
        said = what.get(found.removeprefix(b"RSA "), "there is no private key in PEM form in it")
        raise UserError(
            f"{said}; give the private key, whose first line is -----BEGIN PRIVATE KEY----- or "
            "-----BEGIN RSA PRIVATE KEY-----."
        )
    label = blocks[private[0]]
    if label.startswith(b"ENCRYPTED") or b"Proc-Type: 4,ENCRYPTED" in private[0]:
        raise UserError(
            "the private key is encrypted; decrypt it with `openssl pkey -in FILE -out NEW`, and give that."
        )
    if label.startswith(b"OPENSSH"):
        raise UserError("the private key is in OpenSSH's own form; DKIM keys come as PKCS#1 or PKCS#8.")
    return private[0]


def _parse(block: bytes) -> PrivateKeyTypes | None:
    try:
        return serialization.load_pem_private_key(block, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None  # raised anew by the caller, so that nothing of the key comes along
