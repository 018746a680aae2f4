"""Header field values in ASCII and in lines that any wire carries; knows nothing of bodies.

8-bit text becomes encoded words (RFC 2047) in unstructured fields, display names and comments, and extended parameters
(RFC 2231) in MIME fields. Nothing else in a value changes: addresses, identifiers and blanks stay as they are.
"""

import binascii
import re
import urllib.parse

from sendproof_milter.charsets import text_of

LONGEST_LINE_OCTETS = 998  # RFC 5322 section 2.1.1, without its line end
_ADDRESSES = frozenset(
    (
        *(b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc", b"resent-from", b"resent-sender", b"resent-to"),
        *(b"resent-cc", b"resent-bcc", b"resent-reply-to", b"disposition-notification-to", b"return-receipt-to"),
        *(b"errors-to", b"apparently-to", b"mail-followup-to", b"mail-reply-to", b"list-id"),
    )
)
_WITH_PARAMETERS = frozenset((b"content-type", b"content-disposition"))
# Fields of identifiers, addresses in angle brackets and machines' words: encoded words mean nothing there.
_STRUCTURED = frozenset(
    (
        *(b"date", b"message-id", b"in-reply-to", b"references", b"received", b"return-path", b"mime-version"),
        *(b"resent-date", b"resent-message-id", b"content-id", b"content-transfer-encoding", b"content-location"),
        *(b"content-base", b"content-language", b"content-md5", b"list-help", b"list-unsubscribe", b"list-post"),
        *(b"list-subscribe", b"list-owner", b"list-archive", b"list-unsubscribe-post", b"auto-submitted"),
        *(b"dkim-signature", b"arc-seal", b"arc-message-signature", b"arc-authentication-results"),
        *(b"authentication-results", b"received-spf", b"domainkey-signature", b"autocrypt"),
    )
)
_BLANKS = re.compile(rb"([ \t\n]+)")
_BLANK, _NO_BLANK = re.compile(rb"[ \t]"), re.compile(rb"[^ \t]")
_ENCODED_WORD = re.compile(rb"=\?[^?\s]+\?[bqBQ]\?[^?\s]*\?=")
_TOKEN_IN_ADDRESSES = re.compile(
    rb'(?P<word>"(?:[^"\\]|\\.)*"|[^][ \t\n()<>@,;:"\\]+)|(?P<blank>[ \t\n]+)|(?P<comment>\([^()\\]*\))|'
    rb"(?P<angle><[^<>]*>)|(?P<end>[,;:])|(?P<other>.)",
    re.DOTALL,
)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
# Line ends are no text: an encoded one would come back as one within a name or a subject.
_LINE_ENDS = b"\r\n"
_EIGHT_BIT_PARAMETER = re.compile(
    rb";(?P<blank>[ \t\n]*)(?P<name>[!#$&+.0-9A-Za-z^_`{|}~-]+)[ \t]*=[ \t]*"
    rb'(?P<value>"(?:[^"\\]|\\.)*"|[^][ \t\n()<>@,;:"\\?=]+)'
)
_PLAIN_IN_Q = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")  # RFC 2047 section 5
_LONGEST_ENCODED_WORD = 75  # RFC 2047 section 2
_LONGEST_PARAMETER = 900


def in_ascii(name: bytes, value: bytes, charset: str) -> bytes:
    """The value without the 8-bit text that can be encoded; other 8-bit octets are still there.

    ``charset``: what 8-bit text is in that is no UTF-8.
    """
    lowered = name.lower()
    if lowered in _STRUCTURED:
        return value
    if lowered in _WITH_PARAMETERS:
        return _parameters_in_ascii(value, charset)
    if lowered in _ADDRESSES:
        return _addresses_in_ascii(value, charset)
    pieces = _BLANKS.split(value)
    return _words_in_ascii([(piece, piece) for piece in pieces], charset)


def has_addresses(name: bytes) -> bool:
    """Whether a field of that name has addresses, by which people are known."""
    return name.lower() in _ADDRESSES


def has_long_lines(name: bytes, value: bytes) -> bool:
    """Whether a line of the field is longer than wires carry."""
    if len(name) + 2 + len(value) <= LONGEST_LINE_OCTETS:
        return False
    first, *others = value.split(b"\n")
    return len(name) + 2 + len(first) > LONGEST_LINE_OCTETS or any(len(line) > LONGEST_LINE_OCTETS for line in others)


def refolded(name: bytes, value: bytes) -> bytes:
    """The value with folds at blanks of its long lines; a line is still too long where it has no blank."""
    room = LONGEST_LINE_OCTETS - len(name) - 2
    lines: list[bytes] = []
    for line in value.split(b"\n"):
        lines += _short_lines(line, room if not lines else LONGEST_LINE_OCTETS)
    return b"\n".join(lines)


def _short_lines(line: bytes, room: int) -> list[bytes]:
    if len(line) <= room or room <= 0:  # the name alone is too long
        return [line]
    # Blanks at the end go, as readers and relaxed signatures make them go. A line of blanks alone stays one: many
    # readers take an empty one for the end of the header.
    line = line.rstrip(b" \t") or b" "
    lines: list[bytes] = []
    start = 0
    while len(line) - start > room:
        word = _NO_BLANK.search(line, start)
        first = word.start() + 1 if word else len(line)
        at = max(line.rfind(b" ", first, start + room + 1), line.rfind(b"\t", first, start + room + 1))
        if at < 0:  # the word is too long; its line ends behind it
            blank = _BLANK.search(line, max(first, start + room))
            if not blank:
                break
            at = blank.start()
        lines.append(line[start:at])
        start, room = at, LONGEST_LINE_OCTETS
    return [*lines, line[start:]]


def _words_in_ascii(pieces: list[tuple[bytes, bytes]], charset: str) -> bytes:
    """Words and the blanks between them in turn, each as it is written and as it is meant, words first."""
    result: list[bytes] = []
    index = 0
    while index < len(pieces):
        written, _ = pieces[index]
        if written.isascii():
            result.append(written)
            index += 1
            continue
        last = index  # neighbours go together: the blank between two encoded words is not shown
        while last + 2 < len(pieces) and not pieces[last + 2][0].isascii():
            last += 2
        meant = b"".join(piece for _, piece in pieces[index : last + 1])
        if index >= 2 and _ENCODED_WORD.fullmatch(pieces[index - 2][0]):
            meant = pieces[index - 1][1] + meant
        if last + 2 < len(pieces) and _ENCODED_WORD.fullmatch(pieces[last + 2][0]):
            meant += pieces[last + 1][1]
        result.append(_encoded_words(text_of(meant.translate(None, _LINE_ENDS), charset)))
        index = last + 1
    return b"".join(result)


def _encoded_words(text: str) -> bytes:
    as_q = [_in_q(character) for character in text]
    octets = [character.encode("utf-8") for character in text]
    # Q can be read without a program; B takes four characters for three octets. No more than twice that for Q.
    use_q = sum(map(len, as_q)) * 3 <= sum(map(len, octets)) * 4 * 2
    prefix = b"=?UTF-8?Q?" if use_q else b"=?UTF-8?B?"
    room = _LONGEST_ENCODED_WORD - len(prefix) - 2
    if not use_q:
        room = room // 4 * 3
    words: list[bytes] = []
    word = b""
    for piece in as_q if use_q else octets:  # a character is in one word
        if word and len(word) + len(piece) > room:
            words.append(word)
            word = b""
        word += piece
    words.append(word)
    return b"\n ".join(prefix + (word if use_q else binascii.b2a_base64(word, newline=False)) + b"?=" for word in words)


def _in_q(character: str) -> bytes:
    if character == " ":
        return b"_"
    octets = character.encode("utf-8")
    return octets if octets[0] in _PLAIN_IN_Q else b"".join(b"=%02X" % octet for octet in octets)


def _addresses_in_ascii(value: bytes, charset: str) -> bytes:
    """Display names, names of groups and comments encoded; what is an address stays as it is."""
    result: list[bytes] = []
    phrase: list[tuple[bytes, bytes]] = []  # words and blanks in turn
    for token in _TOKEN_IN_ADDRESSES.finditer(value):
        octets = token.group()
        match token.lastgroup:
            case "word":
                meant = _QUOTED_PAIR.sub(rb"\1", octets[1:-1]) if octets.startswith(b'"') else octets
                if len(phrase) % 2:  # right behind another word
                    phrase[-1] = (phrase[-1][0] + octets, phrase[-1][1] + meant)
                else:
                    phrase.append((octets, meant))
            case "blank":
                phrase += [(octets, octets)] if len(phrase) % 2 else [(b"", b""), (octets, octets)]
            case "angle":
                result += [_phrase_in_ascii(phrase, charset), octets]
                phrase = []
            case "end" if octets == b":":
                result += [_phrase_in_ascii(phrase, charset), octets]
                phrase = []
            case "comment":
                result += [written for written, _ in phrase]
                phrase = []
                pieces = _BLANKS.split(octets[1:-1])
                result += [b"(", _words_in_ascii([(piece, piece) for piece in pieces], charset), b")"]
            case "other" if octets in b'"()<>\\':
                return value  # a quotation or comment that never ends, or within another: readers differ
            case _:  # what stood before is an address
                result += [*(written for written, _ in phrase), octets]
                phrase = []
    return b"".join([*result, *(written for written, _ in phrase)])


def _phrase_in_ascii(phrase: list[tuple[bytes, bytes]], charset: str) -> bytes:
    encoded = _words_in_ascii(phrase, charset)
    # RFC 2047 section 5 (3): a blank between an encoded word and what follows.
    return encoded + b" " if len(phrase) % 2 and not phrase[-1][0].isascii() else encoded


def _parameters_in_ascii(value: bytes, charset: str) -> bytes:
    extended = {found.group(1).lower() for found in re.finditer(rb";[ \t\n]*([!#$&+.0-9A-Za-z^_`{|}~-]+)\*", value)}

    def encoded(found: re.Match[bytes]) -> bytes:
        name, octets = found.group("name"), found.group("value")
        if octets.isascii() or name.lower() == b"boundary":  # a boundary's octets are on its delimiter lines
            return found.group()
        if name.lower() in extended:
            # The extended one is what is read (RFC 2231); this one is for those who don't know it.
            return re.sub(rb"[\x80-\xff]+", b"_", found.group())
        if octets.startswith(b'"'):
            octets = _QUOTED_PAIR.sub(rb"\1", octets[1:-1])
        text = urllib.parse.quote(text_of(octets.translate(None, _LINE_ENDS), charset), safe="")
        if len(text) > _LONGEST_PARAMETER:
            return found.group()
        return b";" + found.group("blank") + name + b"*=UTF-8''" + text.encode("ascii")

    return _EIGHT_BIT_PARAMETER.sub(encoded, value)
