"""Make text from outside safe to look at: no control character reaches a terminal, a page or a log line.

Escapes nothing for HTML: the template engine does that.
"""

import unicodedata

# Cc: ANSI escapes, newlines. Cf: bidirectional overrides that reorder what stands around them. Zl, Zp: more newlines.
_HARMFUL = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Format characters that words and emoji need: zero width non-joiner and joiner.
_HARMLESS = frozenset("\u200c\u200d")


def visible(text: str) -> str:
    r"""The text on one line, with every harmful character written as an escape such as ``\x1b`` or ``\u202e``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible_character(character) for character in text)


def _visible_character(character: str) -> str:
    if character in _HARMLESS:
        return character
    category = unicodedata.category(character)
    if category == "Zs":
        return " "
    if category not in _HARMFUL:
        return character
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
