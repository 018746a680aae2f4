"""An SMTP reply out of one line of Postfix's log: its codes, and its lines again (RFC 5321 section 4.2). Pure.

Says nothing of what a reply means: `reply_rules` and `receipt` do.
"""

import re

# The enhanced code of RFC 3463 section 2.
ENHANCED = r"[245]\.\d{1,3}\.\d{1,3}"
REPLY_CODE = re.compile(rf"(?P<code>[2-5]\d\d)(?=[- ]|$)(?:[- ](?P<enhanced>{ENHANCED})(?![\d.]))?")
_MULTILINE = re.compile(r"(?P<code>[2-5]\d\d)-(?P<enhanced>\d\.\d{1,3}\.\d{1,3})?")


def split_lines(words: str) -> tuple[str, ...]:
    """A reply's lines again: Postfix joins them with single blanks, and each begins with the code of the first."""
    first = _MULTILINE.match(words)
    if first is None:
        return (words,)
    lines = re.split(rf" (?={first['code']}[- ]{re.escape(first['enhanced'] or '')})", words)
    if len(lines) == 1:  # the enhanced code stands on the first line only
        lines = re.split(rf" (?={first['code']}[- ])", words)
    for number, line in enumerate(lines):
        if line.startswith(f"{first['code']} "):  # the last line of a reply (RFC 5321 section 4.2.1)
            return (*lines[:number], " ".join(lines[number:]))
    return tuple(lines)
