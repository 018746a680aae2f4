"""When two spellings are one address. Pure; judges no address."""

import hashlib
import re

_COMMENT_AT_END = re.compile(r"\s*\([^()]*\)$")
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)


def address_key(address: str) -> str:
    """Equal for addresses that Postfix delivers, and logs, as one.

    Without source route and comment (RFC 5321 section 4.1.1.3), the local part without its quotes, and without case, as
    cleanup(8) compares recipients (global/been_here.c) and log_adhoc.c decides whether to print orig_to.
    """
    address = _COMMENT_AT_END.sub("", address)
    if address.startswith("@") and ":" in address:
        address = address.partition(":")[2]
    local, at, domain = address.rpartition("@")
    if len(local) > 1 and local.startswith('"') and local.endswith('"'):
        local = local[1:-1]
    return f"{_QUOTED_PAIR.sub(_second, local)}{at}{domain.rstrip('.')}".casefold()


def address_digest(address: str) -> bytes:
    """16 octets that stand for an address: equal where `address_key` is."""
    return hashlib.sha256(address_key(address).encode("utf-8", "surrogateescape")).digest()[:16]


def _second(pair: re.Match[str]) -> str:
    return pair.group(1)
