import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_logparser import remote_queue_id


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ("250 2.0.0 Ok: queued as 4jXGhv3lVdzJPyT", "4jXGhv3lVdzJPyT"),
        ("250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as 1310930001DB", "1310930001DB"),
        (
            "250 2.6.0 <7f3c@own.example> [InternalId=1234567, Hostname=X.PROD.OUTLOOK.COM] 9 bytes Queued mail",
            "1234567",
        ),
        ("250 2.0.0 OK  1700000000 d9443c01a7336-2a2c - gsmtp", "d9443c01a7336-2a2c"),
        ("250 OK id=1vMZqK-0000000AbCd-1eFg", "1vMZqK-0000000AbCd-1eFg"),
        ("250 2.0.0 3AMEjIDu012345 Message accepted for delivery", "3AMEjIDu012345"),
        ("250 ok", None),
    ],
)
def test_common_receivers_ids_are_found(reply: str, found: str | None) -> None:
    assert remote_queue_id.find(reply) == found


@given(st.text())
def test_no_text_makes_it_fail(text: str) -> None:
    remote_queue_id.find(text)
