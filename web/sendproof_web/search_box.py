"""The text of the search box, and what the filters beside it make of it. Pure; `search_query` says what it means.

The filters write into the box: so one text says all that was asked for, and its address can be passed on.
"""

import re

# As `search_query` takes the text apart.
_PART = re.compile(r'(?:[^\W\d_]+:)?"[^"]*(?:"|$)|[^\s"]+')


def with_filter(text: str, key: str, value: str | None) -> str:
    """The text with ``key:value`` at its end, in place of what it said of that key. None: nothing of that key."""
    kept = [part for part in _parts(text) if not _is_of(part, key)]
    return " ".join([*kept, f"{key}:{value}"] if value else kept)


def filter_of(text: str, key: str) -> str | None:
    """What the text says of a key, in lower case; None if nothing, the last where it says it several times."""
    values = [part[len(key) + 1 :].strip('"').lower() for part in _parts(text) if _is_of(part, key)]
    return values[-1] if values else None


def _parts(text: str) -> list[str]:
    return [part[0] for part in _PART.finditer(text)]


def _is_of(part: str, key: str) -> bool:
    return part.lower().startswith(f"{key}:")
