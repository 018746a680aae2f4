"""Debian trees that test machines are started from, and a folder of packages from which apt installs in them.

Both are made once, in `build/machines` of the checkout, from the sources that this machine's own apt is configured for;
`make clean` removes them. Starts nothing.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from sendproof_core.errors import UserError

_FOLDER = Path(__file__).resolve().parents[3] / "build" / "machines"
_SUITE = "bookworm"
# What a server has before anybody provisions it: systemd as PID 1, a way in, and Python for Ansible.
_BASE = (
    *("systemd", "systemd-sysv", "dbus", "openssh-server", "python3", "python3-apt", "sudo"),
    *("iproute2", "procps", "ca-certificates", "hostname"),
)
# What tests install in machines, with all that these depend on.
_INSTALLABLE = (
    *("postfix", "dovecot-core", "rsyslog", "nginx-light", "openssl", "nftables", "logrotate", "swaks", "curl"),
    *("postgresql", "postgresql-client", "pgbouncer", "python3-psycopg2", "acl", "cron", "certbot", "man-db"),
    *("libmilter1.0.1", "adduser", "init-system-helpers", "prometheus-node-exporter", "mailutils"),
)
_REPOSITORY = "srv/packages"


def base_tree() -> Path:
    """A tree with `_BASE` installed, whose apt knows `/srv/packages` in it and nothing else. Made if it is missing.

    Raises:
        UserError: debootstrap or apt failed, or is not installed.
    """
    key = hashlib.sha256(" ".join((_SUITE, *_BASE, *_INSTALLABLE)).encode()).hexdigest()[:12]
    _FOLDER.mkdir(parents=True, exist_ok=True)
    tree = _FOLDER / f"{_SUITE}-{key}"
    with (_FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tree.exists():
            growing = _FOLDER / "growing"
            shutil.rmtree(growing, ignore_errors=True)
            _make(growing)
            growing.rename(tree)
    return tree


def _make(tree: Path) -> None:
    _run("debootstrap", "--variant=minbase", f"--include={','.join(_BASE)}", _SUITE, str(tree), _mirror())
    _fetch(tree, tree / _REPOSITORY)
    (tree / "etc/apt/sources.list").write_text("deb [trusted=yes] file:/srv/packages ./\n", encoding="ascii")
    (tree / "etc/dpkg/dpkg.cfg.d/no-sync").write_text("force-unsafe-io\n", encoding="ascii")
    (tree / "etc/apt/apt.conf.d/no-recommends").write_text('APT::Install-Recommends "false";\n', encoding="ascii")
    # Nobody sits at a console, and no network device waits for a name.
    for unit in ("console-getty.service", "getty.target", "systemd-networkd.service", "systemd-resolved.service"):
        (tree / "etc/systemd/system" / unit).symlink_to("/dev/null")
    (tree / "etc/machine-id").write_text("", encoding="ascii")
    _run("chroot", str(tree), "apt-get", "update")


def _fetch(tree: Path, target: Path) -> None:
    """Download the packages as if they were installed in the tree, with this machine's sources, and index them."""
    partial = target / "partial"
    partial.mkdir(parents=True)
    _run(
        "apt-get", "install", "--yes", "--download-only", "--no-install-recommends",
        *("-o", f"Dir::State::status={tree}/var/lib/dpkg/status"),
        *("-o", f"Dir::Cache::archives={target}"),
        *("-o", "Dir::State::extended_states=/dev/null"),
        *_INSTALLABLE,
    )  # fmt: skip
    shutil.rmtree(partial)
    (target / "lock").unlink(missing_ok=True)
    index = subprocess.run(
        ["dpkg-scanpackages", "--multiversion", "."], cwd=target, capture_output=True, text=True, check=False
    )
    if index.returncode != 0:
        raise UserError(f"dpkg-scanpackages failed: {index.stderr.strip()[-500:]}")
    (target / "Packages").write_text(index.stdout, encoding="utf-8")


def _mirror() -> str:
    """Where this machine's own apt gets Debian's base from."""
    known = subprocess.run(["apt-cache", "policy", "base-files"], capture_output=True, text=True, check=True).stdout
    for word in known.split():
        if word.startswith(("http://", "https://")) and "security" not in word:
            return word
    raise UserError("apt knows no source of Debian packages on this machine; run `apt-get update`.")


def _run(*command: str) -> None:
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
        )
    except FileNotFoundError:
        raise UserError(f"{command[0]} is not installed; `make setup-test` installs it.") from None
    if done.returncode != 0:
        raise UserError(f"{command[0]} failed: {done.stdout.strip()[-1500:]}")
