import pytest

from sendproof_core import passwords


@pytest.mark.parametrize("make", [passwords.hash_site_password, passwords.hash_credential])
@pytest.mark.parametrize("password", ["Grüße 👩\u200d🔬 ", ""])
def test_only_the_password_itself_fits(make: object, password: str) -> None:
    assert callable(make)
    stored = make(password)
    assert stored.startswith("$argon2id$v=19$")  # Dovecot reads it as {ARGON2ID}
    assert passwords.verify(stored, password)
    assert not passwords.verify(stored, password + " ")
    assert make(password) != stored  # salted


def test_nobodys_hash_takes_as_long_to_check_as_anybodys() -> None:
    assert not passwords._SITE.check_needs_rehash(passwords._NOBODY)


@pytest.mark.parametrize("stored", [None, "", "nonsense", "$argon2id$v=19$m=1$broken", "{PLAIN}secret"])
def test_no_user_and_no_hash_fit_nothing(stored: str | None) -> None:
    assert not passwords.verify(stored, "nobody has this password")
    assert not passwords.verify(stored, "secret")
