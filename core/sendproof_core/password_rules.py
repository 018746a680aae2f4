"""Which passwords people may choose for the site: long enough, and not what everybody tries first. Pure.

No rule about kinds of characters and none about age (NIST SP 800-63B section 3.1.1.2): they make worse passwords.
How a password is kept is `passwords`.
"""

import enum
import functools
import unicodedata
from collections.abc import Iterable

SHORTEST = 12
LONGEST = 200
# zxcvbn's time grows faster than the length; what is not guessed by here is not guessed.
_JUDGED_CHARACTERS = 72
# Of zxcvbn's 0 to 4: at least 10^8 guesses, where ours are slowed down to a few an hour.
_LOWEST_SCORE = 3


class Weakness(enum.Enum):
    """Why a password may not be chosen, as a sentence that says what to do."""

    SHORT = (
        f"This password is too short: use at least {SHORTEST} characters. Four or five random words are easy to keep."
    )
    LONG = f"This password is too long: use at most {LONGEST} characters."
    CONTROL = "This password has a character that cannot be typed: leave out tabs and the like."
    GUESSABLE = "This password is easy to guess: many people choose one like it. Four or five random words are better."
    PERSONAL = "This password is easy to guess from your login or address. Choose one that has nothing to do with them."


def weakness(password: str, about: Iterable[str] = ()) -> Weakness | None:
    """Why the password may not be chosen; None: it may.

    Args:
        password: as it was typed.
        about: what a guesser knows of its owner: login, mail address.
    """
    if len(password) > LONGEST:
        return Weakness.LONG
    if len(password) < SHORTEST:
        return Weakness.SHORT
    if any(unicodedata.category(character) == "Cc" for character in password):
        return Weakness.CONTROL
    judged = password[:_JUDGED_CHARACTERS]
    if _score(judged, _words(about)) >= _LOWEST_SCORE:
        return None
    return Weakness.PERSONAL if _score(judged, ()) >= _LOWEST_SCORE else Weakness.GUESSABLE


def _words(about: Iterable[str]) -> tuple[str, ...]:
    """Each whole, and each of its parts: ``eva@mail.example`` is also eva and mail."""
    words: list[str] = ["sendproof"]
    for text in about:
        words += [text, *"".join(c if c.isalnum() else " " for c in text).split()]
    return tuple(dict.fromkeys(word[:_JUDGED_CHARACTERS] for word in words if word))


def _score(password: str, words: tuple[str, ...]) -> int:
    return int(_zxcvbn()(password, user_inputs=list(words))["score"])


@functools.cache
def _zxcvbn():  # type: ignore[no-untyped-def] # zxcvbn has no types
    """Loaded at its first use: its dictionaries take longer than most commands."""
    from zxcvbn import zxcvbn  # type: ignore[import-untyped] # it has no types

    return zxcvbn
