"""What the MTA is told to change in a message that goes out, as values in the order of the telling. Pure."""

from dataclasses import dataclass

from sendproof_milter import split_stamp
from sendproof_milter.pipeline import OWN_HEADERS, SIGNATURE_HEADER, stamp_of
from sendproof_milter.wire_safe import ChangedField
from sendproof_milter.work import TRACE_HEADER, Site, Work


@dataclass(frozen=True)
class Edits:
    """First the fields that go and change, then the body, then the fields that come.

    ``changed``: an empty value removes the field; of several of one name the last comes first, so no index moves.
    ``inserted``: each at the top, right below Postfix's own Received, so the last of them is the topmost.
    """

    changed: tuple[ChangedField, ...]
    body: bytes | None
    inserted: tuple[tuple[str, str], ...]


def edits_of(work: Work, site: Site) -> Edits:
    """What makes the message that was submitted the one that goes out."""
    inserted = [(TRACE_HEADER, work.trace)]
    if work.split:
        inserted.append((split_stamp.HEADER, stamp_of(work, site)))
    inserted += [(SIGNATURE_HEADER, value.decode("ascii")) for value in reversed(work.signature_values)]
    return Edits((*_removed(work), *work.changed_fields), work.new_body, tuple(inserted))


def _removed(work: Work) -> list[ChangedField]:
    counts = {name: len(work.submission.header_values(name)) for name in OWN_HEADERS}
    # Those of the first pass stand at the top, above any that the sender's own system has put there.
    counts[SIGNATURE_HEADER] = work.stamp.signatures if work.stamp is not None else 0
    return [ChangedField(name, index, "") for name, count in counts.items() for index in range(count, 0, -1)]
