from sendproof_testing.submissions import sender, signing_key


def test_only_the_domain_itself_is_owned() -> None:
    account = sender(domains=frozenset({"own.example"}))
    assert account.owns("own.example")
    assert not any(account.owns(name) for name in ("", "example", "sub.own.example", "notown.example"))


def test_no_key_shows_in_a_traceback_or_a_log() -> None:
    assert "PRIVATE" not in repr(sender())
    assert str(signing_key().private_key.private_numbers().d) not in repr(signing_key())
