"""OpenDKIM's and dkimpy's verdicts on a message: two verifiers that share no code with our signer or each other."""

import re
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import dkim

from sendproof_core.errors import UserError

_OPENDKIM = Path("/usr/sbin/opendkim")
# opendkim -vv prints the Authentication-Results field (RFC 8601) that it would add.
_RESULT = re.compile(r"dkim=(\w+)[^;]*?header\.d=(\S+)[^;]*?header\.s=(\S+)")
_SIGNATURE = re.compile(rb"^DKIM-Signature:", re.MULTILINE | re.IGNORECASE)
_AT_ONCE = 2


@dataclass(frozen=True)
class Verdict:
    """What OpenDKIM says of one signature."""

    result: str
    domain: str
    selector: str

    @property
    def passed(self) -> bool:
        """Whether the signature is good."""
        return self.result == "pass"


def verify(message: bytes, public_keys: Path) -> tuple[Verdict, ...]:
    """One verdict for each signature, top first. ``public_keys``: lines of name and TXT record, instead of DNS."""
    if not _OPENDKIM.exists():
        raise UserError("the Debian package opendkim is missing; `make setup` installs it.")
    with tempfile.TemporaryDirectory() as folder:
        mail, config = Path(folder, "message"), Path(folder, "opendkim.conf")
        mail.write_bytes(message)
        config.write_text(f"Mode v\nTestPublicKeys {public_keys}\n")
        done = subprocess.run(
            [str(_OPENDKIM), "-x", str(config), "-vv", "-t", str(mail)],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
    return tuple(Verdict(*found) for found in _RESULT.findall(done.stdout))


def verify_by_dkimpy(message: bytes, public_keys: Path) -> list[bool]:
    """Dkimpy's word on each signature, top first, of a message with bare newlines, as a Maildir has it."""
    records = dict(line.split(" ", 1) for line in public_keys.read_text().splitlines())
    wire = message.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")

    def look_up(name: bytes, timeout: int = 5) -> bytes | None:
        del timeout
        record = records.get(name.decode().rstrip("."))
        return record.encode() if record else None

    count = len(_SIGNATURE.findall(wire.partition(b"\r\n\r\n")[0]))
    return [_dkimpy_accepts(wire, index, look_up) for index in range(count)]


def _dkimpy_accepts(wire: bytes, index: int, look_up: Callable[..., bytes | None]) -> bool:
    try:
        return bool(dkim.DKIM(wire).verify(idx=index, dnsfunc=look_up))
    except dkim.DKIMException:
        return False


def failed_signatures(messages: dict[str, bytes], public_keys: Path, domains: list[str]) -> dict[str, str]:
    """Of named messages, those without a good signature of each of these domains, in both verifiers' eyes; and why."""

    def trouble(message: bytes) -> str:
        verdicts = verify(message, public_keys)
        if [verdict.domain for verdict in verdicts if verdict.passed] != domains:
            return f"OpenDKIM: {verdicts}"
        by_dkimpy = verify_by_dkimpy(message, public_keys)
        return "" if by_dkimpy == [True] * len(domains) else f"dkimpy: {by_dkimpy}"

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = zip(messages, pool.map(trouble, messages.values()), strict=True)
        return {name: words for name, words in found if words}
