"""What the MTA handed in, byte for byte, and the few header fields that decisions read. Changes nothing."""

import datetime as dt
import email.errors
import email.header
import email.headerregistry
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from sendproof_core import domain_names
from sendproof_core.addresses import address_key

Headers = Sequence[tuple[bytes, bytes]]

_ENCODED_WORD = re.compile(r"=\?[^?\s]+\?[bqBQ]\?[^?\s]*\?=")
_AS_ADDRESSES = email.headerregistry.HeaderRegistry()
# "you@your.example <you@your.example>" without quotation marks: no RFC allows it, many clients write it.
_ADDRESS_AS_NAME = re.compile(r"\s*(?P<name>[^\s<>\"(),:;@]+@[^\s<>\"(),:;@]+)\s*<\s*(?P<address>[^\s<>]+)\s*>\s*")
# The library's parser takes quadratic time: 100 KB of quotation marks kept a process busy for a minute and a half.
_FROM_OCTETS = 4096
_LARGE_OCTETS = 1 << 20
# Of a message's header: Postfix bounds a single field (header_size_limit), not how many there are.
MOST_HEADER_OCTETS = 1 << 20
MOST_HEADER_FIELDS = 5_000
# A subject in the journal: enough to find a message by (RFC 5322 section 2.1.1's line limit).
SUBJECT_CHARACTERS = 998


@dataclass(frozen=True)
class Submission:
    """One message as the client submitted it.

    ``headers``: (name, value) in order; values as milter(8) passes them, folds as ``\\n``, no blank at the start.
    ``body``: CRLF lines, exactly as it will be queued. Addresses are without their angle brackets.
    """

    login: str
    daemon_name: str
    queue_id: str
    client_address: str | None
    client_tls: str | None
    envelope_sender: str
    recipients: tuple[str, ...]
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    received_at: dt.datetime
    # What recipients were before aliases (ORCPT of RFC 3461), where the client said so.
    original_recipients: tuple[str, ...] = ()
    # The client may have written UTF-8 in header fields (RFC 6531).
    smtputf8: bool = False
    # There were more header fields than we hold; none of them is here.
    header_dropped: bool = False

    def header_values(self, name: str) -> tuple[bytes, ...]:
        """All values of a field, in order."""
        return self._values_by_name.get(name.lower().encode("ascii"), ())

    def let_go_of_body(self) -> None:
        """Forget a large body that nobody asks for any more: another stands in its place, and memory is bounded."""
        if len(self.body) > _LARGE_OCTETS:
            object.__setattr__(self, "size_bytes", self.size_bytes)
            object.__setattr__(self, "body", b"")

    @functools.cached_property
    def _values_by_name(self) -> dict[bytes, tuple[bytes, ...]]:
        found: dict[bytes, list[bytes]] = {}
        for name, value in self.headers:
            found.setdefault(name.lower(), []).append(value)
        return {name: tuple(values) for name, values in found.items()}

    @functools.cached_property
    def size_bytes(self) -> int:
        """Octets of header and body as they are on the wire."""
        return sum(len(name) + len(value) + 4 for name, value in self.headers) + 2 + len(self.body)


def from_addresses(submission: Submission) -> tuple[str, ...] | None:
    """Every address in the From fields; None if there is none, one is no address list, or they are too long.

    Several From fields are read as one list: whoever may send must own all of them (RFC 5322 section 3.6.2 allows
    one field; receivers differ in which they show).
    """
    values = submission.header_values("From")
    if sum(map(len, values)) > _FROM_OCTETS:
        return None
    addresses: list[str] = []
    for value in values:
        found = _addresses(value)
        if found is None:
            return None
        addresses += found
    return tuple(addresses) or None


@functools.lru_cache(maxsize=4096)  # people have few From fields, and the library's parser takes a millisecond
def _addresses(value: bytes) -> tuple[str, ...] | None:
    text = value.decode("utf-8", "replace").replace("\n", "")
    named = _ADDRESS_AS_NAME.fullmatch(text)
    if named and address_key(named["name"]) == address_key(named["address"]):
        text = named["address"]
    try:
        field = _AS_ADDRESSES("From", text)
        # "own@a.example <other@b.example>" parses as the first and shows as the second.
        if any(isinstance(defect, email.errors.InvalidHeaderDefect) for defect in field.defects):
            return None
        groups: tuple[email.headerregistry.Group, ...] = getattr(field, "groups", ())
        found = tuple(address.addr_spec for group in groups for address in group.addresses)
    except (ValueError, LookupError, AttributeError, TypeError, NameError, RecursionError, email.errors.MessageError):
        return None  # the library stumbles over some malformed lists instead of noting a defect
    return found if found and all(_is_address(address) for address in found) else None


def _is_address(text: str) -> bool:
    local, at, domain = text.rpartition("@")
    return bool(local and at and domain) and not any(character.isspace() or character < " " for character in text)


@functools.lru_cache(maxsize=4096)
def domain_of(address: str) -> str:
    """The domain as it is stored (`domain_names`); in lower case if it is none; empty if there is no "@"."""
    domain = address.rpartition("@")[2] if "@" in address else ""
    try:
        return domain_names.to_ascii(domain)
    except ValueError:
        return domain.lower()


def subject_text(submission: Submission) -> str | None:
    """The subject as a person reads it: encoded words decoded, unfolded, no control characters; None without one."""
    values = submission.header_values("Subject")
    if not values:
        return None
    raw = re.sub(r"\n[ \t]?", " ", values[0].decode("utf-8", "replace"))
    text = raw
    if _ENCODED_WORD.search(raw):
        try:
            text = str(email.header.make_header(email.header.decode_header(raw)))
        except (ValueError, LookupError, email.errors.MessageError):
            text = raw
    return printable(text)[:SUBJECT_CHARACTERS]


def printable(text: str) -> str:
    """The text with control characters and lone surrogates replaced: safe in a log, a table and UTF-8."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else " " if character.isspace() else "\N{REPLACEMENT CHARACTER}"
        for character in text
    )


def message_id_header(submission: Submission) -> str | None:
    """The Message-ID field as the client wrote it; None without one (Postfix adds its own then)."""
    values = submission.header_values("Message-ID")
    return printable(values[0].decode("utf-8", "replace")).strip()[:SUBJECT_CHARACTERS] if values else None
