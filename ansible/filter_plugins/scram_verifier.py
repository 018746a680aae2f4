# noqa: INP001 - Ansible loads it by its path
"""A PostgreSQL role's password as the server stores it (RFC 5803), so that the server is not told the password.

Connects to nothing. Knows SCRAM-SHA-256 and printable ASCII only, for which SASLprep changes nothing.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable

_ITERATIONS = 4096  # PostgreSQL's own
_SALT_OCTETS = 16  # likewise
_VERIFIER = re.compile(
    r"SCRAM-SHA-256\$([0-9]{1,7}):([A-Za-z0-9+/=]{1,100})\$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+", re.ASCII
)


def scram_verifier(password: str, stored: str = "") -> str:
    """What PostgreSQL stores for a password: ``stored`` itself where that is of this password, else a new one."""
    found = _VERIFIER.fullmatch(stored)
    if found is not None and hmac.compare_digest(
        _verifier(password, base64.b64decode(found[2]), int(found[1])), stored
    ):
        return stored
    return _verifier(password, secrets.token_bytes(_SALT_OCTETS), _ITERATIONS)


def _verifier(password: str, salt: bytes, iterations: int) -> str:
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    words = (salt, hashlib.sha256(client_key).digest(), server_key)
    encoded_salt, encoded_stored, encoded_server = (base64.b64encode(word).decode() for word in words)
    return f"SCRAM-SHA-256${iterations}:{encoded_salt}${encoded_stored}:{encoded_server}"


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """The filters by their names."""
        return {"scram_verifier": scram_verifier}
