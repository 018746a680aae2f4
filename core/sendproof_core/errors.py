"""The one exception that ends a command with a sentence instead of a traceback."""

import sys
from collections.abc import Callable
from typing import NoReturn

from sendproof_core.hostile_text import visible


class UserError(Exception):
    """Something that the person who started us can mend: its text says what and how.

    Raised with one sentence (or two: what is wrong, how to mend it). Commands print it after
    ``sendproof: `` and end with `EXIT_STATUS`.
    """

    EXIT_STATUS = 2


def end_with(error: UserError) -> NoReturn:
    """Print the sentence on standard error and exit with status 2."""
    sys.stderr.write(f"sendproof: {visible(str(error))}\n")
    raise SystemExit(UserError.EXIT_STATUS)


def guarded(command: Callable[[], None]) -> None:
    """Run a program's main function; a `UserError` becomes its sentence and exit status 2."""
    try:
        command()
    except UserError as error:
        end_with(error)
    except UnicodeEncodeError:  # octets of an argument that are no UTF-8 cannot be stored or looked up
        end_with(UserError("an argument is no UTF-8 text; write it in UTF-8."))
