import pytest

from sendproof_web import search_box


@pytest.mark.parametrize(
    ("text", "key", "value", "expected"),
    [
        ("", "status", "deferred", "status:deferred"),
        ("offer", "status", "deferred", "offer status:deferred"),
        ("status:bounced offer", "status", "deferred", "offer status:deferred"),
        ("offer STATUS:bounced", "status", None, "offer"),
        ('"a status:x b" to:anna', "status", None, '"a status:x b" to:anna'),
        ('subject:"status: late" status:held', "status", None, 'subject:"status: late"'),
        ('status:"held" x', "status", None, "x"),
        ('offer "never closed', "after", "7d", 'offer "never closed after:7d'),
    ],
)
def test_a_filter_writes_itself_into_the_box(text: str, key: str, value: str | None, expected: str) -> None:
    assert search_box.with_filter(text, key, value) == expected


def test_choosing_a_filter_twice_changes_nothing() -> None:
    once = search_box.with_filter("anna", "status", "held")
    assert search_box.with_filter(once, "status", "held") == once


@pytest.mark.parametrize(
    ("text", "value"),
    [("offer", None), ("status:Deferred", "deferred"), ("status:a status:b", "b"), ('"status:a"', None)],
)
def test_the_chosen_filter_is_read_from_the_box(text: str, value: str | None) -> None:
    assert search_box.filter_of(text, "status") == value
