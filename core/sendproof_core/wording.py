"""Times, durations, sizes and TLS in the words that people read: the same on the page, in the terminal and in mails."""

import datetime as dt
import re
from dataclasses import dataclass

# The word before "TLS connection established" (Postfix 3.7 tls_misc.c, tls_log_summary).
_TRUST = {
    "Verified": "certificate verified",
    "Trusted": "certificate trusted",
    "Untrusted": "certificate not verified",
    "Anonymous": "no certificate",
}
_PROTOCOL = re.compile(r"\b(?:TLSv(?P<tls>[\d.]+)|(?P<ssl>SSLv\d))")
_CIPHER = re.compile(r"\b(?:cipher )?(?P<name>(?:TLS|ECDHE|DHE|AES|RSA|ADH|AECDH|PSK)[A-Z0-9_-]{4,})")


@dataclass(frozen=True)
class ReadersTime:
    """Writes moments in the reader's zone; ``day`` is the day that needs no mention (that of the submission).

    ``is_foreign``: it is not the reader's own zone, so sentences name it, and say the moment in UTC as well.
    """

    zone: dt.tzinfo
    day: dt.date
    is_foreign: bool = False

    def clock(self, moment: dt.datetime) -> str:
        """``14:03:05.214``, with the date before it on any other day; the fraction only where one was logged."""
        here = moment.astimezone(self.zone)
        fraction = f".{here.microsecond // 1000:03d}" if here.microsecond else ""
        return f"{self._date(here)}{here:%H:%M:%S}{fraction}"

    def at(self, moment: dt.datetime) -> str:
        """``at 14:03:05``; on any other day ``on 27 Nov at 14:03:05``."""
        here = moment.astimezone(self.zone)
        return f"{self._on(here)}at {here:%H:%M:%S}{self._zone(here, '%H:%M:%S')}"

    def about(self, moment: dt.datetime) -> str:
        """``at about 14:03``, for what is only expected."""
        here = moment.astimezone(self.zone)
        return f"{self._on(here)}at about {here:%H:%M}{self._zone(here, '%H:%M')}"

    def minute(self, moment: dt.datetime) -> str:
        """``14:03``, with the date before it on any other day."""
        here = moment.astimezone(self.zone)
        return f"{self._date(here)}{here:%H:%M}"

    def full(self, moment: dt.datetime) -> str:
        """``22 Nov 2026 14:03:05 CET``: stands by itself."""
        here = moment.astimezone(self.zone)
        return f"{here.day} {here:%b %Y %H:%M:%S} {zone_name(here)}"

    def _date(self, here: dt.datetime) -> str:
        if here.date() == self.day:
            return ""
        year = f" {here.year}" if here.year != self.day.year else ""
        return f"{here.day} {here:%b}{year} "

    def _zone(self, here: dt.datetime, form: str) -> str:
        if not self.is_foreign:
            return ""
        utc, name = here.astimezone(dt.UTC), zone_name(here)
        if name == "UTC":
            return " UTC"
        date = "" if utc.date() == here.date() else f"{utc.day} {utc:%b} "
        return f" {name} ({date}{utc.strftime(form)} UTC)"

    def _on(self, here: dt.datetime) -> str:
        date = self._date(here)
        return f"on {date}" if date else ""


def zone_name(here: dt.datetime) -> str:
    """``CET`` or ``UTC``; zones without an abbreviation are named by their offset, ``UTC-03:00``."""
    name = here.strftime("%Z")
    return name if name.isalpha() else f"UTC{here.isoformat()[-6:]}"


def duration(seconds: float) -> str:
    """Two units at most: ``2.1 s``, ``15 min 36 s``, ``3 h 5 min``, ``4 d 2 h``."""
    seconds = max(seconds, 0.0)
    if seconds < 9.95:
        return f"{seconds:.2g} s" if seconds < 1 else f"{seconds:.1f} s"
    whole = round(seconds)
    for name, size, below_name, below in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // below
            return f"{whole // size} {name} {rest} {below_name}" if rest else f"{whole // size} {name}"
    return f"{whole} s"


def size(octets: int) -> str:
    """``18.2 KB``, in units of 1,024."""
    if octets < 1024:
        return f"{octets} octets"
    return f"{octets / 1024:.1f} KB" if octets < 1024**2 else f"{octets / 1024**2:.1f} MB"


def counted(number: int, noun: str) -> str:
    """``1 line``, ``2 lines``, ``1,204 lines``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def tls(text: str | None) -> str:
    """``TLS 1.3, certificate verified`` from Postfix's summary of a session; ``no TLS`` without one."""
    if not text:
        return "no TLS"
    protocol = _protocol(text) or "TLS"
    trust = _TRUST.get(text.split(" ", 1)[0])
    return f"{protocol}, {trust}" if trust else protocol


def tls_version(text: str | None) -> str | None:
    """``TLS 1.3``; None without TLS."""
    return (_protocol(text) or "TLS") if text else None


def tls_in_full(text: str) -> str:
    """``TLSv1.3 TLS_AES_256_GCM_SHA384, certificate verified``: as an administrator wants it."""
    found, cipher = _PROTOCOL.search(text), _CIPHER.search(text)
    parts = [match for match in (found and found[0], cipher and cipher["name"]) if match]
    trust = _TRUST.get(text.split(" ", 1)[0])
    return ", ".join(part for part in (" ".join(parts) or "TLS", trust) if part)


def _protocol(text: str) -> str | None:
    found = _PROTOCOL.search(text)
    if found is None:
        return None
    # OpenSSL writes "TLSv1" for TLS 1.0.
    return found["ssl"] or f"TLS {found['tls']}{'' if '.' in found['tls'] else '.0'}"
