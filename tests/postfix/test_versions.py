import pytest

from sendproof_postfix import versions
from sendproof_postfix.versions import Support


@pytest.mark.parametrize(
    ("text", "support"),
    [
        ("3.4.23", Support.TOO_OLD),
        ("2.11.3", Support.TOO_OLD),
        ("3.5.25", Support.KNOWN),
        ("3.7.11", Support.KNOWN),
        ("3.8-20220325", Support.KNOWN),
        ("3.10.1", Support.KNOWN),
        ("3.11-20251001-nonprod", Support.NEWER),
        ("4.0.0", Support.NEWER),
        ("", Support.UNREADABLE),
        ("Postfix", Support.UNREADABLE),
        ("3", Support.UNREADABLE),
        ("$mail_release_date", Support.UNREADABLE),
    ],
)
def test_three_five_to_three_ten_are_known(text: str, support: Support) -> None:
    assert versions.read(text).support is support


def test_only_what_is_older_or_no_version_stops_us() -> None:
    stops = {text: versions.read(text).stops is not None for text in ("3.4.0", "3.5.0", "3.10.9", "3.11.0", "x")}
    assert stops == {"3.4.0": True, "3.5.0": False, "3.10.9": False, "3.11.0": False, "x": True}
    assert "3.11.0" in str(versions.read("3.11.0").warns)
    assert versions.read("3.10.0").warns is None


@pytest.mark.parametrize(("level", "chrooted"), [("0", True), ("", True), ("1", False), ("2", False), ("3.10", False)])
def test_a_dash_in_the_chroot_column_means_yes_at_level_nought(level: str, chrooted: bool) -> None:
    assert versions.chroot_by_default(level) is chrooted


@pytest.mark.parametrize(
    ("text", "reads"), [("", True), ("2.3.19.1 (9b53102964)", True), ("2.4.1-4 (7d8c0e5759)", False), ("2.2.36", False)]
)
def test_our_dovecots_file_is_for_two_three(text: str, reads: bool) -> None:
    assert versions.reads_our_dovecot(text) is reads
