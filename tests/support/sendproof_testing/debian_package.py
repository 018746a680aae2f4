"""The Debian package of this checkout, built once however many tests want it. Installs nothing."""

import subprocess
from pathlib import Path

from sendproof_core.errors import UserError

REPOSITORY = Path(__file__).resolve().parents[3]


def built() -> Path:
    """The package's file; built if anything that it is made of has changed.

    Raises:
        UserError: it could not be built.
    """
    done = subprocess.run(
        [REPOSITORY / "tools" / "build-deb"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0:
        raise UserError(f"tools/build-deb failed: {done.stdout.strip()[-2000:]}")
    (package,) = (REPOSITORY / "dist").glob("sendproof_*.deb")
    return package
