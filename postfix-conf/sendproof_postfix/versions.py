"""What a version of Postfix or Dovecot means for us: pure decisions over what they say of themselves. Runs nothing."""

import enum
import re
from dataclasses import dataclass

OLDEST, NEWEST = (3, 5), (3, 10)
# mail_version(5): 3.7.11, or 3.8-20220325 for a snapshot; distributions may add words.
_VERSION = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})(?:[.-]\S*)?")


class Support(enum.Enum):
    """Whether we know what we do there."""

    KNOWN = "known"
    TOO_OLD = "too old"
    NEWER = "newer"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Version:
    """A release of Postfix, and what we say to it."""

    text: str
    support: Support
    release: tuple[int, int] = (0, 0)

    @property
    def stops(self) -> str | None:
        """Why nothing is changed on it; None: it is no reason."""
        if self.support is Support.TOO_OLD:
            return f"Sendproof knows Postfix {_span()}; this one is {self.text}."
        if self.support is Support.UNREADABLE:
            return f"mail_version is {self.text!r}, which is no version of Postfix (is it set in main.cf?)."
        return None

    @property
    def warns(self) -> str | None:
        """What the operator should know before going on."""
        if self.support is Support.NEWER:
            return f"Sendproof knows Postfix {_span()}; this one is {self.text}: look at the plan with care."
        return None


def _span() -> str:
    return f"{OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}"


def read(text: str) -> Version:
    """Judge what `postconf -dh mail_version` says."""
    found = _VERSION.fullmatch(text)
    if not found:
        return Version(text, Support.UNREADABLE)
    release = (int(found[1]), int(found[2]))
    if release < OLDEST:
        return Version(text, Support.TOO_OLD, release)
    return Version(text, Support.NEWER if release > NEWEST else Support.KNOWN, release)


def reads_our_dovecot(text: str) -> bool:
    """Whether the Dovecot that says this to `--version` reads the file that we write; empty: none is there yet."""
    return not text or text.startswith("2.3.")


def chroot_by_default(compatibility_level: str) -> bool:
    """Whether ``-`` in the chroot column of master.cf means yes (COMPATIBILITY_README: at level 0 it does).

    Postfix before 3.6 knows whole numbers only, later ones also ``3.6``.
    """
    found = re.match(r"[0-9]{1,4}", compatibility_level)
    return found is None or int(found[0]) < 1
