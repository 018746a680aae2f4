"""The entries of a story as steps of the page's timeline: what has no moment of its own belongs to the step before."""

from dataclasses import dataclass

from sendproof_core.transcript_story import Entry, EntryKind

_LOOKS = {
    EntryKind.ACCEPTED: "good",
    EntryKind.BOUNCED: "bad",
    EntryKind.DEFERRED: "waiting",
    EntryKind.OPENED: "opened",
    EntryKind.ENDED: "bad",
}


@dataclass(frozen=True)
class Step:
    """One dot on the line. ``look``: the colour of the dot."""

    entries: tuple[Entry, ...]

    @property
    def look(self) -> str:
        """The look of the entry that decided."""
        looks = [_LOOKS[entry.kind] for entry in self.entries if entry.kind in _LOOKS]
        return looks[0] if looks else "plain"


def steps(entries: tuple[Entry, ...]) -> tuple[Step, ...]:
    """The same entries, in the same order."""
    grouped: list[list[Entry]] = []
    for entry in entries:
        if entry.at is None and grouped:
            grouped[-1].append(entry)
        else:
            grouped.append([entry])
    return tuple(Step(tuple(group)) for group in grouped)
