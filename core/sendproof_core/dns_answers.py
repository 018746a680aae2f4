"""What DNS said to one question, as a value: present, absent, or unknown. Asks nothing."""

import enum
from dataclasses import dataclass


class Presence(enum.StrEnum):
    """Whether a name has records of a type. `UNKNOWN`: no answer came, or one that says nothing."""

    PRESENT = "present"
    ABSENT = "absent"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Answer:
    """The records of one name and type, as text; of TXT records the strings joined. Hostile text."""

    presence: Presence
    values: tuple[str, ...] = ()

    @property
    def is_known(self) -> bool:
        """Whether there was an answer."""
        return self.presence is not Presence.UNKNOWN


ABSENT = Answer(Presence.ABSENT)
UNKNOWN = Answer(Presence.UNKNOWN)
