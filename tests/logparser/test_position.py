from sendproof_logparser.position import fingerprint_of


def test_a_fingerprint_is_that_of_the_octets_alone() -> None:
    assert fingerprint_of(b"Jan 02") == fingerprint_of(b"Jan 02")
    assert fingerprint_of(b"Jan 02") != fingerprint_of(b"Jan 03")
    assert len(fingerprint_of(b"")) == 64
