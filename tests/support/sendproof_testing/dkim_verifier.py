"""OpenDKIM's verdict on a message: a verifier that shares no code with our signer."""

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sendproof_core.errors import UserError

_OPENDKIM = Path("/usr/sbin/opendkim")
# opendkim -vv prints the Authentication-Results field (RFC 8601) that it would add.
_RESULT = re.compile(r"dkim=(\w+)[^;]*?header\.d=(\S+)[^;]*?header\.s=(\S+)")


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
