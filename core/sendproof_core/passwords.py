"""Password hashes that the site and Dovecot both read: Argon2id in PHC form, ``{ARGON2ID}`` before it for Dovecot.

Costs: RFC 9106 section 4's second choice for the site; SASL credentials take less memory, because a mail client may
sign in for every message and they are machine-made (OWASP ASVS 6.5.2).
"""

import argon2

_SITE = argon2.PasswordHasher(time_cost=3, memory_cost=65536, parallelism=1)
_CREDENTIAL = argon2.PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
# Of a password that nobody has, with the costs above.
_NOBODY = "$argon2id$v=19$m=65536,t=3,p=1$Zr3wLuyO+zeLgUrEUPap8Q$+VfQsg5REHpbiz3tHIhdPV8GDwOYMcxjI/kY8ntTCTU"


def hash_site_password(password: str) -> str:
    """A hash for signing in to the site."""
    return _SITE.hash(password)


def hash_credential(secret: str) -> str:
    """A hash for SMTP submission."""
    return _CREDENTIAL.hash(secret)


def verify(stored_hash: str | None, password: str) -> bool:
    """Whether the password fits. None (no such user) takes as long as a wrong password."""
    try:
        _SITE.verify(_NOBODY if stored_hash is None else stored_hash, password)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False
    return stored_hash is not None
