"""Other milters that sign with DKIM: private configurations, one RSA-2048 signature, relaxed/relaxed. Measures nothing.

Each does nothing but sign, listens on a unix socket in the sandbox's folder, and leaves the machine's own alone.
"""

import base64
import contextlib
import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sendproof_core.errors import UserError
from sendproof_testing import installation, processes
from sendproof_testing.processes import Guardian, Program
from sendproof_testing.sandbox import Sandbox

OPENDKIM, RSPAMD, DKIMPY = "opendkim", "rspamd", "dkimpy-milter"
_START_SECONDS = 60.0  # rspamd compiles its patterns first

_OPENDKIM_CONF = """\
Mode s
Canonicalization relaxed/relaxed
Domain $domain
Selector $selector
KeyFile $folder/key.pem
Socket local:$folder/milter.sock
UMask 0
RequireSafeKeys no
"""

# The proxy worker scans by itself: no other worker, no Redis. Two, as ours. Of the modules only dkim_signing; without
# `dkim` (rspamd's own C part) it has nothing to sign with. The name server is nobody: a signer asks none.
_RSPAMD_CONF = """\
options {
    pidfile = "$folder/rspamd.pid";
    tempdir = "$folder";
    hs_cache_dir = "$folder";
    control_socket = "$folder/control.sock mode=0600";
    url_tld = "/usr/share/rspamd/effective_tld_names.dat";
    filters = "dkim";
    dns { nameserver = ["127.0.0.1:9"]; }
}
logging { type = "console"; level = "warning"; }
modules { path = "/usr/share/rspamd/plugins/dkim_signing.lua"; }
dkim { }
dkim_signing {
    allow_username_mismatch = true;
    domain { $domain { selectors [ { selector = "$selector"; path = "$folder/key.pem"; } ] } }
}
worker "rspamd_proxy" {
    bind_socket = "$folder/milter.sock mode=0666";
    milter = yes;
    count = 2;
    upstream "local" { default = yes; self_scan = yes; }
}
"""

_DKIMPY_CONF = """\
Syslog no
UserID dkimpy-milter
PidFile $folder/milter.pid
Mode s
Canonicalization relaxed/relaxed
Domain $domain
Selector $selector
KeyFile $folder/key.pem
Socket local:$folder/milter.sock
UMask 0
"""


@dataclass(frozen=True)
class Peer:
    """How to start one. The user owns its folder and reads its key."""

    package: str
    user: str
    configuration: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class Signer:
    """One that runs and answers."""

    program: Program
    socket: Path


PEERS = {
    OPENDKIM: Peer("opendkim", "root", _OPENDKIM_CONF, ("/usr/sbin/opendkim", "-f", "-x", "$configuration")),
    RSPAMD: Peer(
        "rspamd",
        "_rspamd",
        _RSPAMD_CONF,
        ("/usr/bin/rspamd", "-f", "-u", "_rspamd", "-g", "_rspamd", "-c", "$configuration"),
    ),
    DKIMPY: Peer("dkimpy-milter", "dkimpy-milter", _DKIMPY_CONF, ("/usr/bin/dkimpy-milter", "$configuration")),
}


@contextlib.contextmanager
def running_peer(name: str, sandbox: Sandbox) -> Iterator[Signer]:
    """Start one that signs for the sandbox's own domain, with a key of its own.

    Raises:
        UserError: it is not installed, or does not start.
    """
    peer, made = PEERS[name], sandbox.installation
    if not Path(peer.command[0]).exists():
        raise UserError(f"the Debian package {peer.package} is missing; `tools/install-debian bench` installs it.")
    folder = made.home / name
    folder.mkdir()
    private, public = _key_pair()
    key_file = folder / "key.pem"
    key_file.touch(mode=0o600)
    key_file.write_bytes(private)
    user = pwd.getpwnam(peer.user)
    for path in (folder, key_file):
        os.chown(path, user.pw_uid, user.pw_gid)
    with made.public_keys.open("a") as records:
        records.write(f"{name}._domainkey.{installation.OWN_DOMAIN} v=DKIM1; k=rsa; p={public}\n")
    words = {"folder": str(folder), "domain": installation.OWN_DOMAIN, "selector": name}
    configuration = folder / "configuration"
    configuration.write_text(Template(peer.configuration).substitute(words))
    command = [str(configuration) if word == "$configuration" else word for word in peer.command]
    guardian = Guardian()
    program = processes.start(name, command, made.home / "log" / f"{name}.out")
    guardian.watch(program.process.pid)
    try:
        try:
            processes.wait_for_unix(program, folder / "milter.sock", _START_SECONDS)
        except UserError as error:
            raise UserError(f"the peer {name} cannot be measured: {error}") from None
        yield Signer(program, folder / "milter.sock")
    finally:
        program.end()
        guardian.dismiss()


def _key_pair() -> tuple[bytes, str]:
    """A private RSA-2048 key as PEM, and the p= of its record."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private, base64.b64encode(public).decode("ascii")
