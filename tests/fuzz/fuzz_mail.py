"""Mutated mail against the promises of the milter's edits: `python tests/fuzz/fuzz_mail.py --seconds 300`.

Begins with the corpus. An input that shows something new (another tree, reason or edit) is kept and mutated further.
A finding is written to a file, which `--replay FILE` reads; the exit status is 1 then.
"""

import argparse
import itertools
import random
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from sendproof_milter import mime_edit, pixel, wire_safe
from sendproof_milter.message import Submission, from_addresses
from sendproof_milter.mime_structure import Part, TooComplex, parse
from sendproof_milter.pixel import NoPixel, WithPixel
from sendproof_milter.wire_safe import Headers, WireEdit
from sendproof_testing.submissions import submission

CORPUS = Path(__file__).parents[1] / "corpus" / "mail"
SNIPPET = pixel.image_tag("https://t.relay.example/o/AQEBAAGTU0nSjXAAgAAAAAAAAAEAAQAHmhQAAAAAAAAA.gif", visible=False)
LARGEST_INPUT_OCTETS = 200_000
# Far above what such an input takes (a few milliseconds), on a machine that does other things as well.
SLOWEST_SECONDS = 2.0
_FIELD = re.compile(rb"([!-9;-~]+):[ \t]?((?:[^\n\0]|\n[ \t])*)\n")
_LINES = re.compile(rb"[^\n]*\n|[^\n]+")
_KEPT_INPUTS = 4000
_EIGHT_BIT_STAYS = {
    WireEdit.SEALED_EIGHT_BIT,
    WireEdit.MALFORMED_EIGHT_BIT,
    WireEdit.EIGHT_BIT_HEADER_WORD,
}
_LONG_LINES_STAY = {WireEdit.SEALED_LONG_LINES, WireEdit.MALFORMED_LONG_LINES, WireEdit.LONG_HEADER_WORD}
_LABELS = {"8bit", "binary"}

_WORDS = [
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b" ",
        b"\t",
        b"\0",
        b"=",
        b"=\r\n",
        b"=3D",
        b"=C3",
        b"--",
        b"\xfc",
        b"\xc3\xbc",
    ),
    *(b"</body>", b"</html>", b"<!--", b"-->", b"<script>", b"</script>", b"<style ", b"<![CDATA[", b"]]>", b"</body"),
    *(b'"', b"(", b")", b"<", b">", b"@", b",", b";", b":", b"\\", b"=?utf-8?q?a?=", b"=?", b"?=", b"x" * 1000),
    *(
        b"-----BEGIN PGP",
        b"boundary=",
        b'; boundary="a"',
        b"; charset=utf-16",
        b"; charset*=utf-8''x",
        b"8bit",
        b"binary",
    ),
    *(b"\xfc" * 1200, b"a " * 600, b"=FC" * 400, b"<p>" * 400, b" " * 1100, b"\xe3\x81\x82" * 50, b"-" * 1200),
]
_FIELDS = [
    *(
        b"Content-Type: text/html",
        b"Content-Type: multipart/mixed; boundary=a",
        b"Content-Type: multipart/signed; boundary=b",
    ),
    *(
        b"Content-Type: message/rfc822",
        b"Content-Type: multipart/alternative; boundary=ab",
        b"Content-Type: text/plain",
    ),
    *(b'Content-Type: multipart/related; start="<1>"; boundary=c', b"Content-Type: multipart/digest; boundary=a"),
    *(b"Content-Type: text/html; charset=shift_jis", b'Content-Type: application/octet-stream; name="\xc3\xbc"'),
    *(b"Content-Transfer-Encoding: 8bit", b"Content-Transfer-Encoding: base64", b"Content-Transfer-Encoding: binary"),
    *(b"Content-Transfer-Encoding: quoted-printable", b"Content-Transfer-Encoding: x-uuencode", b"Content-Id: <1>"),
    *(b'Content-Disposition: attachment; filename="M\xfcller.pdf"', b"Content-Disposition: inline", b"broken"),
    *(
        b"Subject: Gr\xc3\xbc\xc3\x9fe =?utf-8?q?a?= \xfc",
        b'From: M\xc3\xbcller, "M\xfc, x" <max@own.example>',
        b"X: " + b"y" * 1100,
    ),
    *(b"Auto-Submitted: no", b"MIME-Version: 1.0", b"To: " + b"<a@b.example>, " * 90, b"Cc: (\xfc) \xfc@x.example"),
]
_KINDS = {
    *("multipart/mixed", "multipart/alternative", "multipart/related", "multipart/signed", "multipart/report"),
    *("multipart/digest", "message/rfc822", "message/delivery-status", "text/html", "text/plain"),
}
_BOUNDARIES = (b"a", b"ab", b"b", b"c")


class Finding(Exception):
    """A promise that was not kept."""


def promise(kept: object, text: str) -> None:
    if not kept:
        raise Finding(text)


def message_of(raw: bytes) -> Submission:
    """Octets as Postfix hands them over, but for stray CR and LF in the body, which it would mask."""
    head, _, body = raw.partition(b"\r\n\r\n")
    headers = tuple(_FIELD.findall(head.replace(b"\r\n", b"\n") + b"\n"))
    return submission(headers=headers, body=body)


def check(raw: bytes) -> object:
    """Everything that is promised, about one input; what was seen.

    Raises:
        Finding: a promise is not kept.
    """
    message = message_of(raw)
    began = time.monotonic()
    for smtputf8 in (False, True):
        check_wire(message.headers, message.body, smtputf8=smtputf8)
    seen = check_pixel(message)
    took = time.monotonic() - began
    promise(took < SLOWEST_SECONDS, f"{len(raw)} octets took {took:.1f} s")
    return seen


def check_pixel(message: Submission) -> object:
    before = parse(message.headers, message.body)
    after = pixel.insert(message, SNIPPET)
    safe = wire_safe.make_safe(message.headers, message.body, smtputf8=False)
    if isinstance(after, NoPixel):
        return after, safe.edits, novelty(before)
    body = after.body
    again = pixel.insert(submission(headers=message.headers, body=body), SNIPPET)
    promise(isinstance(again, WithPixel) and again.body == body, "editing twice is editing once")
    both = check_wire(message.headers, body, smtputf8=False)
    headers, safe_body = both
    again = pixel.insert(submission(headers=headers, body=safe_body), SNIPPET)
    promise(isinstance(again, WithPixel) and again.body == safe_body, "the snippet is still there on the wire")
    check_reverse(message)
    if body == message.body:
        return "already", safe.edits, novelty(before)
    edited = parse(message.headers, body)
    promise(isinstance(before, Part) and isinstance(edited, Part), "a tree stays a tree")
    assert isinstance(before, Part)
    assert isinstance(edited, Part)
    promise(shape(before) == shape(edited), "the pixel leaves the tree as it was")
    different = [
        (old, new)
        for old, new in zip(before.walk(), edited.walk(), strict=True)
        if not old.children and content(message.body, old) != content(body, new)
    ]
    promise(len(different) == 1, "one part is edited")
    old, new = different[0]
    promise(old.content_type == "text/html" and not old.encapsulated, "it is HTML")
    promise(message.body[: old.content_start] == body[: new.content_start], "octets before the part")
    # Where a delimiter follows the header at once, the line end behind the snippet is the delimiter's then.
    extra = b"\r\n" if old.content_end == old.content_start and message.body.startswith(b"--", old.content_end) else b""
    promise(extra + message.body[old.content_end :] == body[new.content_end :], "octets behind the part")
    was, now = decoded(message.body, old), decoded(body, new)
    place = now.find(SNIPPET, max(0, common(was, now) - len(SNIPPET)))
    promise(place >= 0, "the snippet is in the part")
    promise(
        any(
            now == was[: place - before_it] + glue + SNIPPET + tail + was[place - before_it :]
            for before_it, glue in ((0, b""), (2, b"\r\n"))
            for tail in (b"", b"\r\n")
        ),
        "the part grew by just the snippet",
    )
    return old.transfer_encoding, safe.edits, novelty(before)


def check_reverse(message: Submission) -> None:
    """First safe, then the pixel: as safe as before."""
    headers, body = check_wire(message.headers, message.body, smtputf8=False)
    edits = wire_safe.make_safe(headers, body, smtputf8=False).edits
    after = pixel.insert(submission(headers=headers, body=body), SNIPPET)
    if isinstance(after, WithPixel):
        safe = wire_safe.make_safe(headers, after.body, smtputf8=False)
        promise(set(safe.edits) <= set(edits), f"a pixel makes nothing unsafe: {safe.edits}")


def check_wire(headers: Headers, body: bytes, *, smtputf8: bool) -> tuple[tuple[tuple[bytes, bytes], ...], bytes]:
    safe = wire_safe.make_safe(headers, body, smtputf8=smtputf8)
    new_headers = wire_safe.apply_fields(headers, safe.changed_fields)
    new_body = body if safe.body is None else safe.body
    edits = set(safe.edits)
    head = b"\n".join(name + b": " + value for name, value in new_headers)
    if not edits & _LONG_LINES_STAY:
        promise(longest(head) <= 998, "no long header line")
        promise(longest(new_body) <= 998, "no long body line")
    if not edits & _EIGHT_BIT_STAYS:
        promise(smtputf8 or head.isascii(), "a header of ASCII")
        promise(smtputf8 or new_body.isascii(), "a body of ASCII")
    if safe.body is None:
        promise(not edits & {WireEdit.LONG_BODY_LINES, WireEdit.EIGHT_BIT_PARTS}, "an edit of the body has a body")
    again = wire_safe.make_safe(new_headers, new_body, smtputf8=smtputf8)
    promise(again.body is None and not again.changed_fields, f"safe twice is safe once: {again.edits}")
    promise(
        set(again.edits) <= edits & (_LONG_LINES_STAY | _EIGHT_BIT_STAYS), f"what stays is said twice {again.edits}"
    )
    senders = from_addresses(submission(headers=headers))
    new_senders = from_addresses(submission(headers=new_headers))  # None: the field has grown beyond what is read
    promise(new_senders in (senders, None) or senders is None, f"the same senders: {senders} {new_senders}")
    check_parts(headers, body, new_headers, new_body, edits)
    return new_headers, new_body


def check_parts(headers: Headers, body: bytes, new_headers: Headers, new_body: bytes, edits: set[WireEdit]) -> None:
    old_root, new_root = parse(headers, body), parse(new_headers, new_body)
    if isinstance(old_root, TooComplex) or isinstance(new_root, TooComplex):
        promise(old_root == new_root and body == new_body, "what is not read is not changed")
        return
    promise(shape(old_root) == shape(new_root), "the tree stays as it was")
    for old, new in zip(old_root.walk(), new_root.walk(), strict=True):
        if not edits & _EIGHT_BIT_STAYS:
            promise(new.transfer_encoding not in _LABELS, "no label says 8bit")
        if old.content_type in {"multipart/signed", "multipart/encrypted"}:
            promise(content(body, old) == content(new_body, new), "what is sealed keeps every octet")
        if not old.children and content(body, old) != content(new_body, new):
            promise(meaning(body, old, old) == meaning(new_body, old, new), "the same decoded content")


def shape(part: Part | TooComplex) -> object:
    if isinstance(part, TooComplex):
        return part
    kind = " ".join(part.content_type.split())  # a fold may take the blanks before it along
    return kind, part.defects, tuple(shape(child) for child in part.children)


def novelty(part: Part | TooComplex) -> object:
    """What makes a tree worth another look, roughly."""
    if isinstance(part, TooComplex):
        return part
    parts = list(part.walk())
    kinds = frozenset(part.content_type for part in parts if part.content_type in _KINDS)
    defects = frozenset(itertools.chain.from_iterable(part.defects for part in parts))
    return kinds, defects, min(len(parts), 6), max(part.depth for part in parts)


def content(body: bytes, part: Part) -> bytes:
    return body[part.content_start : part.content_end]


def decoded(body: bytes, part: Part) -> bytes:
    return mime_edit.decode(content(body, part), part.transfer_encoding)


def meaning(body: bytes, old: Part, part: Part) -> bytes:
    """What a part stands for; of base64, which may be broken, its text without blanks."""
    if old.transfer_encoding == "base64":
        return content(body, part).translate(None, b" \t\r\n")
    return decoded(body, part)


def common(one: bytes, other: bytes) -> int:
    return next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def longest(octets: bytes) -> int:
    return max((len(line.removesuffix(b"\r")) for line in octets.split(b"\n")), default=0)


Mutation = Callable[[random.Random, bytes, list[bytes]], bytes]


def flip(chance: random.Random, raw: bytes, pool: list[bytes]) -> bytes:
    del pool
    octets = bytearray(raw)
    for _ in range(chance.randint(1, 4)):
        if octets:
            octets[chance.randrange(len(octets))] = chance.choice((chance.randrange(256), 0x2D, 0x0A, 0x3D, 0x20))
    return bytes(octets)


def truncate(chance: random.Random, raw: bytes, pool: list[bytes]) -> bytes:
    del pool
    return raw[: chance.randint(0, len(raw))]


def insert_word(chance: random.Random, raw: bytes, pool: list[bytes]) -> bytes:
    del pool
    at = chance.randint(0, len(raw))
    return raw[:at] + chance.choice(_WORDS) + raw[at:]


def cut(chance: random.Random, raw: bytes, pool: list[bytes]) -> bytes:
    del pool
    at = chance.randint(0, len(raw))
    return raw[:at] + raw[at + chance.randint(1, 40) :]


def move_line(chance: random.Random, raw: bytes, pool: list[bytes]) -> bytes:
    """A line again, elsewhere, or no more: fields, boundaries, soft breaks."""
    del pool
    lines = _LINES.findall(raw)
    if lines:
        line = chance.choice(lines)
        if chance.random() < 0.5:
            lines.remove(line)
        if chance.random() < 0.8:
            lines.insert(chance.randint(0, len(lines)), line)
    return b"".join(lines)


def boundary_line(chance: random.Random, raw: bytes, pool: list[bytes]) -> bytes:
    del pool
    names = re.findall(rb'boundary="?([^"\r\n;]+)', raw) or list(_BOUNDARIES)
    line = b"--" + chance.choice(names) + chance.choice((b"", b"--", b" ", b"\t ", b"x", b"--x")) + b"\r\n"
    lines = _LINES.findall(raw)
    lines.insert(chance.randint(0, len(lines)), line)
    return b"".join(lines)


def field(chance: random.Random, raw: bytes, pool: list[bytes]) -> bytes:
    """Another field in the header, or in that of a part."""
    del pool
    lines = _LINES.findall(raw)
    places = [0, *(place + 1 for place, line in enumerate(lines) if line.startswith(b"--") or b": " in line)]
    lines.insert(chance.choice(places), chance.choice(_FIELDS) + b"\r\n")
    return b"".join(lines)


def nest(chance: random.Random, raw: bytes, pool: list[bytes]) -> bytes:
    """The message as a part of another one."""
    other = chance.choice(pool)
    boundary = chance.choice(_BOUNDARIES)
    kind = chance.choice((b"mixed", b"alternative", b"related", b"signed", b"digest", b"report"))
    forwarded = chance.choice((b"", b"Content-Type: message/rfc822\r\n\r\n"))
    return (
        b"From: max@own.example\r\nContent-Type: multipart/"
        + kind
        + b"; boundary="
        + boundary
        + b"\r\n\r\n"
        + b"".join(b"--" + boundary + b"\r\n" + forwarded + part + b"\r\n" for part in (raw, other))
        + b"--"
        + boundary
        + b"--\r\n"
    )


def splice(chance: random.Random, raw: bytes, pool: list[bytes]) -> bytes:
    other = chance.choice(pool)
    return raw[: chance.randint(0, len(raw))] + other[chance.randint(0, len(other)) :]


_MUTATIONS: tuple[Mutation, ...] = (
    *(flip, truncate, insert_word, insert_word, cut, move_line, move_line, boundary_line, field, field, nest, splice),
)


def inputs(chance: random.Random, pool: list[bytes]) -> Iterator[bytes]:
    yield from list(pool)
    while True:
        raw = chance.choice(pool)
        for _ in range(chance.choice((1, 1, 2, 3, 5))):
            raw = chance.choice(_MUTATIONS)(chance, raw, pool)
        if chance.random() < 0.7:  # as Postfix hands it over
            raw = raw.replace(b"\r\n", b"\n").replace(b"\r", b" ").replace(b"\n", b"\r\n")
        yield raw[:LARGEST_INPUT_OCTETS]


def seeds() -> list[bytes]:
    mails = [path.read_bytes() for path in sorted(CORPUS.glob("*.in.eml"))]
    return [mail.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for mail in mails]


def finding_in(raw: bytes) -> str | None:
    """What is wrong with the edits of one input; None if nothing is."""
    try:
        check(raw)
    except Exception:  # noqa: BLE001 - any exception is a finding
        return traceback.format_exc()
    return None


def run(seconds: float, seed: int, folder: Path) -> Path | None:
    """Mutate for so long; the file of the first finding."""
    chance, pool = random.Random(seed), seeds()
    seen: set[object] = set()
    end = time.monotonic() + seconds
    shown = time.monotonic()
    for number, raw in enumerate(inputs(chance, pool)):
        try:
            new = check(raw)
        except Exception:  # noqa: BLE001 - any exception is a finding
            path = folder / f"finding-{seed}-{number}.eml"
            path.write_bytes(raw)
            say(f"\n{traceback.format_exc()}\n{path}: {len(raw)} octets; again: --replay {path}\n")
            return path
        if new not in seen and len(raw) < LARGEST_INPUT_OCTETS // 10 and len(pool) < _KEPT_INPUTS:
            seen.add(new)
            pool.append(raw)
        now = time.monotonic()
        if now - shown > 1:
            shown = now
            say(f"\rseed {seed}: {number:,} inputs, {len(pool):,} kept, {max(0, end - now):.0f} s to go ")
        if now > end:
            say(f"\rseed {seed}: {number:,} inputs, {len(pool):,} kept, no finding\n")
            return None
    return None


def say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def main() -> int:
    """Exit status 1: there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="where a finding is written")
    parser.add_argument("--replay", type=Path, help="a finding's file: check it and nothing else")
    arguments = parser.parse_args()
    if arguments.replay:
        found = finding_in(arguments.replay.read_bytes())
        say(found or "nothing is wrong with this one\n")
        return 1 if found else 0
    return 1 if run(arguments.seconds, arguments.seed, arguments.folder) else 0


if __name__ == "__main__":
    sys.exit(main())
