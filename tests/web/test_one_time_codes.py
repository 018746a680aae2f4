import datetime as dt
import re
import xml.etree.ElementTree as ET

import pyotp
import pytest

from sendproof_web import one_time_codes

# RFC 6238 appendix B: the secret "12345678901234567890", and a moment with its code (the last six digits of eight).
SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
VECTORS = [
    (59, "287082"),
    (1111111109, "081804"),
    (1111111111, "050471"),
    (1234567890, "005924"),
    (2000000000, "279037"),
]


def at(seconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


@pytest.mark.parametrize(("seconds", "code"), VECTORS)
def test_codes_are_those_of_the_rfc(seconds: int, code: str) -> None:
    assert one_time_codes.matching_step(SECRET, code, at(seconds), None) == seconds // 30


def test_a_clock_may_be_half_a_minute_off_and_no_more() -> None:
    seconds, code = VECTORS[3]
    for off, is_good in ((-60, False), (-30, True), (30, True), (60, False)):
        assert (one_time_codes.matching_step(SECRET, code, at(seconds + off), None) is not None) == is_good


def test_a_code_is_good_once_and_so_are_those_before_it() -> None:
    seconds, code = VECTORS[3]
    step = seconds // 30
    assert one_time_codes.matching_step(SECRET, code, at(seconds), step) is None
    assert one_time_codes.matching_step(SECRET, code, at(seconds), step + 1) is None
    assert one_time_codes.matching_step(SECRET, code, at(seconds), step - 1) == step


def test_a_code_may_be_typed_as_apps_show_it() -> None:
    assert one_time_codes.matching_step(SECRET, " 005 924 ", at(VECTORS[3][0]), None) is not None


@pytest.mark.parametrize("typed", ["", "00592", "0059241", "00592a", "٠٠٥٩٢٤", "abcd-efgh-ijkl-mnop"])
def test_what_is_no_code_is_wrong(typed: str) -> None:
    assert one_time_codes.matching_step(SECRET, typed, at(VECTORS[3][0]), None) is None


def test_every_secret_is_new_and_an_app_can_take_it() -> None:
    secret = one_time_codes.new_secret()
    assert secret != one_time_codes.new_secret()
    parsed = pyotp.parse_uri(one_time_codes.uri(secret, login="max", issuer="Sendproof mail.example"))
    assert (parsed.secret, parsed.name, parsed.issuer) == (secret, "max", "Sendproof mail.example")


def test_the_code_to_photograph_is_a_picture_without_style_or_script() -> None:
    svg = one_time_codes.qr_svg("otpauth://totp/x?secret=y")
    root = ET.fromstring(svg)  # noqa: S314 - our own
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert not re.search(rb"style|script|class", svg)


def test_recovery_codes_are_ten_all_different_and_kept_as_hashes() -> None:
    codes = one_time_codes.new_recovery_codes()
    assert len(set(codes)) == 10
    assert all(re.fullmatch(r"[a-z2-7]{4}(-[a-z2-7]{4}){3}", code) for code in codes)
    hashed = one_time_codes.recovery_hash(codes[0])
    assert hashed == one_time_codes.recovery_hash(f" {codes[0].upper().replace('-', ' ')} ")
    assert hashed != one_time_codes.recovery_hash(codes[1])
    assert codes[0] not in str(hashed)


@pytest.mark.parametrize("typed", ["", "005924", "abcd-efgh-ijkl", "abcd-efgh-ijkl-mno1", "\u017fbcd-efgh-ijkl-mnop"])
def test_what_is_no_recovery_code_has_no_hash(typed: str) -> None:
    assert one_time_codes.recovery_hash(typed) is None
