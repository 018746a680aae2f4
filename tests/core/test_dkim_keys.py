import base64
import datetime as dt
import traceback

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from sendproof_core import dkim_keys
from sendproof_core.errors import UserError

_PKCS8, _PKCS1 = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL
_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
# RFC 8463 appendix A.2
_RFC_SEED = base64.b64decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
_RFC_PUBLIC = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="


def _pem(
    key: PrivateKeyTypes,
    form: serialization.PrivateFormat = _PKCS8,
    encryption: serialization.KeySerializationEncryption | None = None,
) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, form, encryption or serialization.NoEncryption())


def _certificate() -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "own.example")])
    begins = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
    made = x509.CertificateBuilder(name, name, _RSA.public_key(), 1, begins, begins + dt.timedelta(days=1))
    return made.sign(_RSA, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


_CERTIFICATE = _certificate()
_PUBLIC = _RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
_LOCK = serialization.BestAvailableEncryption(b"a password")


@pytest.mark.parametrize("algorithm", dkim_keys.ALGORITHMS)
def test_the_halves_of_a_pair_belong_together(algorithm: str) -> None:
    pair = dkim_keys.generate(algorithm)
    private = dkim_keys.load(algorithm, pair.private_pem)
    assert pair.algorithm == algorithm
    assert dkim_keys.public_key_text(private) == pair.public_key
    assert "PRIVATE" not in repr(pair)
    assert pair.public_key not in repr(pair)


def test_an_rsa_pair_has_2048_bits_and_publishes_its_structure() -> None:
    public = serialization.load_der_public_key(base64.b64decode(dkim_keys.generate(dkim_keys.RSA_SHA256).public_key))
    assert isinstance(public, rsa.RSAPublicKey)
    assert public.key_size == 2048


def test_an_ed25519_key_is_published_as_in_rfc_8463() -> None:
    pair = dkim_keys.import_key(_pem(ed25519.Ed25519PrivateKey.from_private_bytes(_RFC_SEED)))
    assert (pair.algorithm, pair.public_key) == ("ed25519-sha256", _RFC_PUBLIC)
    assert dkim_keys.record_text(pair.algorithm, pair.public_key) == f"v=DKIM1; k=ed25519; p={_RFC_PUBLIC}"


@pytest.mark.parametrize("pem", [
    _pem(_RSA),
    _pem(_RSA, _PKCS1),
    _pem(_RSA).replace(b"\n", b"\r\n"),
    b"Bag Attributes\n  friendlyName: own.example\n" + _pem(_RSA) + _CERTIFICATE,
    _CERTIFICATE + _pem(_RSA, _PKCS1),
])  # fmt: skip
def test_a_key_comes_in_as_other_programs_write_it(pem: bytes) -> None:
    pair = dkim_keys.import_key(pem)
    assert pair.algorithm == "rsa-sha256"
    loaded = dkim_keys.load(pair.algorithm, pair.private_pem)
    assert isinstance(loaded, rsa.RSAPrivateKey)
    assert loaded.private_numbers() == _RSA.private_numbers()


def _does_not_fit() -> bytes:
    """An RSA key whose numbers are those of two keys."""
    der = bytearray(_RSA.private_bytes(serialization.Encoding.DER, _PKCS1, serialization.NoEncryption()))
    der[600] ^= 1
    body = base64.encodebytes(bytes(der))
    return b"-----BEGIN RSA PRIVATE KEY-----\n" + body + b"-----END RSA PRIVATE KEY-----\n"


def _short_rsa() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 1024)  # noqa: S505 - that it is too short is the point


_REFUSED = {
    "encrypted": (_pem(_RSA, _PKCS8, _LOCK), "is encrypted; decrypt it with `openssl pkey"),
    "encrypted, the old way": (_pem(_RSA, _PKCS1, _LOCK), "is encrypted; decrypt it with `openssl pkey"),
    "public": (_PUBLIC, "that is the public key; give the private key"),
    "certificate": (_CERTIFICATE, "that is a certificate; give the private key"),
    "two": (_pem(_RSA) + _pem(ed25519.Ed25519PrivateKey.generate()), "several private keys"),
    "1024 bits": (_pem(_short_rsa()), "has 1024 bits; give one of 2048 to 4096"),
    "elliptic curve": (_pem(ec.generate_private_key(ec.SECP256R1())), "of another kind"),
    "DSA": (_pem(dsa.generate_private_key(2048)), "of another kind"),
    "OpenSSH": (_pem(_RSA, serialization.PrivateFormat.OpenSSH), "OpenSSH's own form"),
    "numbers that do not fit": (_does_not_fit(), "is damaged"),
    "cut short": (_pem(_RSA)[:900] + b"\n-----END PRIVATE KEY-----\n", "is damaged"),
    "no end": (_pem(_RSA)[:900], "there is no private key in PEM form"),
    "DER": (base64.b64decode(b"".join(_pem(_RSA).splitlines()[1:-1])), "there is no private key in PEM form"),
    "nothing": (b"", "there is no private key in PEM form"),
    "too large": (b" " * 65_537, "too large"),
}  # fmt: skip


@pytest.mark.parametrize("kind", _REFUSED)
def test_what_may_not_sign_is_refused_without_a_word_of_the_key(kind: str) -> None:
    pem, said = _REFUSED[kind]
    with pytest.raises(UserError, match=said) as caught:
        dkim_keys.import_key(pem)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    shown = "".join(traceback.format_exception(caught.value))
    assert not any(line.decode("latin-1") in shown for line in pem.splitlines() if len(line) > 40)


@given(st.binary(max_size=200), st.integers(0, 1700), st.integers(0, 1700))
def test_any_octets_are_a_key_or_a_sentence(octets: bytes, begin: int, end: int) -> None:
    pem = _pem(_RSA)
    try:
        pair = dkim_keys.import_key(pem[:begin] + octets + pem[end:])
    except UserError:
        return
    loaded = dkim_keys.load(pair.algorithm, pair.private_pem)
    assert dkim_keys.public_key_text(loaded) == pair.public_key


@pytest.mark.parametrize("algorithm", dkim_keys.ALGORITHMS)
def test_only_a_key_of_the_algorithm_is_loaded(algorithm: str) -> None:
    (other,) = set(dkim_keys.ALGORITHMS) - {algorithm}
    for pem in (dkim_keys.generate(other).private_pem, b"", b"no key"):
        with pytest.raises(ValueError, match=r"(?i)key|pem|deserialize"):
            dkim_keys.load(algorithm, pem)
