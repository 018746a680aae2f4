"""Codes of the second factor: those that an app shows (TOTP, RFC 6238), and those on paper. Pure but for chance.

What is stored, and what was used before, knows `two_factor`.
"""

import base64
import datetime as dt
import hashlib
import hmac
import io
import re
import secrets

import pyotp
import segno

STEP_SECONDS = 30
# A phone's clock may be off by one step, either way.
_DRIFT_STEPS = 1
RECOVERY_CODES = 10
_RECOVERY_OCTETS = 10  # 80 random bits: no guesser needs to be slowed down, so a plain hash will do
_CODE = re.compile(r"[0-9]{6}")
_RECOVERY = re.compile(r"[a-z2-7]{16}")
_BLANKS = re.compile(r"[\s-]+")


def new_secret() -> str:
    """160 random bits as apps take them (RFC 4226 section 4, R6)."""
    return pyotp.random_base32()


def uri(secret: str, *, login: str, issuer: str) -> str:
    """What the code to photograph holds."""
    return pyotp.TOTP(secret).provisioning_uri(name=login, issuer_name=issuer)


def qr_svg(text: str) -> bytes:
    """A code to photograph; black on white also in the dark, because not every app reads it the other way round."""
    drawn = io.BytesIO()
    segno.make(text, error="m", micro=False).save(
        drawn, kind="svg", scale=5, xmldecl=False, svgclass=None, lineclass=None, light="#fff"
    )
    return drawn.getvalue()


def matching_step(secret: str, typed: str, now: dt.datetime, last_step: int | None) -> int | None:
    """The time step whose code was typed; None if it is none of now, or of one that was used before."""
    code = _BLANKS.sub("", typed)
    if not _CODE.fullmatch(code):
        return None
    totp = pyotp.TOTP(secret)
    current = int(now.timestamp()) // STEP_SECONDS
    for step in range(current - _DRIFT_STEPS, current + _DRIFT_STEPS + 1):
        is_fresh = last_step is None or step > last_step
        if hmac.compare_digest(totp.generate_otp(step), code) and is_fresh:
            return step
    return None


def new_recovery_codes() -> tuple[str, ...]:
    """To write down: each signs in once."""
    return tuple(_recovery_code() for _ in range(RECOVERY_CODES))


def recovery_hash(typed: str) -> str | None:
    """What is stored of a recovery code; None if that is none."""
    code = _BLANKS.sub("", typed).lower()
    return hashlib.sha256(code.encode()).hexdigest() if _RECOVERY.fullmatch(code) else None


def _recovery_code() -> str:
    text = base64.b32encode(secrets.token_bytes(_RECOVERY_OCTETS)).decode("ascii").lower()
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))
