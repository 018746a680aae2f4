"""Domain names in the one form in which they are stored and compared: A-labels, lower case, no final dot.

IDNA 2008 with the mapping of UTS 46, by the `idna` package: Python's own codec is IDNA 2003, which makes another domain
out of some names (straße.example becomes strasse.example). What comes as an A-label stays: a registry may know more
than IDNA 2008, and DNS decides. Pure; asks no DNS.
"""

import re

import idna

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LONGEST = 253


def to_ascii(name: str) -> str:
    """A domain name as DNS has it.

    Raises:
        ValueError: it is none that mail can come from: no dot, an address, characters that no label has.
    """
    name = name.removesuffix(".")
    try:
        ascii_name = name.lower() if name.isascii() else idna.encode(name, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise ValueError("not a domain name") from None
    labels = ascii_name.split(".")
    if (
        len(ascii_name) > _LONGEST
        or len(labels) < 2
        or labels[-1].isdigit()
        or not all(_LABEL.fullmatch(label) for label in labels)
    ):
        raise ValueError("not a domain name")
    return ascii_name


def to_unicode(name: str) -> str:
    """A stored name as people write it; as it is, where that is not certain to lead back to it."""
    try:
        decoded = idna.decode(name)
        return decoded if idna.encode(decoded, uts46=True).decode("ascii") == name else name
    except (idna.IDNAError, UnicodeError):
        return name
