import pytest

from sendproof_core.links import CONTINUES, LinkEvidence, LinkKind
from sendproof_core.schema import QueueFile


@pytest.mark.parametrize(
    ("kind", "goes_on"),
    [
        (LinkKind.COPY, True),
        (LinkKind.FILTER, True),
        (LinkKind.FORWARD, True),
        (LinkKind.REQUEUE, True),
        (LinkKind.RELAY, True),
        (LinkKind.NON_DELIVERY, False),
        (LinkKind.DELAY, False),
        (LinkKind.DELIVERY_STATUS, False),
        (LinkKind.POSTMASTER, False),
    ],
)
def test_a_notification_about_a_message_is_not_the_message(kind: LinkKind, goes_on: bool) -> None:
    assert (kind in CONTINUES) is goes_on


def test_every_kind_either_goes_on_or_is_a_notification() -> None:
    notifications = {LinkKind.NON_DELIVERY, LinkKind.DELAY, LinkKind.DELIVERY_STATUS, LinkKind.POSTMASTER}
    assert set(LinkKind) == CONTINUES | notifications


@pytest.mark.parametrize(("column", "words"), [("link_kind", LinkKind), ("link_evidence", LinkEvidence)])
def test_each_word_fits_into_its_column(column: str, words: type[LinkKind | LinkEvidence]) -> None:
    length = QueueFile.__table__.columns[column].type.length  # type: ignore[attr-defined] # a String
    assert all(len(word.value) <= length for word in words)
