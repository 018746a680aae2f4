"""One name for each machine, whatever the logger calls it. Pure.

postlogd writes only the first label of the host's name (util/msg_logger.c), the milter's journal the whole name.
"""

from collections.abc import Iterable


def first_label(name: str) -> str:
    """The label that postlogd would write, in lower case; an address stays whole."""
    lowered = name.lower()
    if ":" in lowered or lowered.replace(".", "").isdigit():
        return lowered
    return lowered.partition(".")[0] or lowered


class HostNames:
    """Gives this machine the name that its settings say, and every other one its first label."""

    def __init__(self, own_name: str, other_labels: Iterable[str] = ()) -> None:
        """``other_labels``: what loggers call this machine where that is not the first label of ``own_name``."""
        self.own_name = own_name
        self._own_labels = {first_label(own_name), *map(first_label, other_labels)}
        self._known: dict[str, str] = {}

    def canonical(self, name: str) -> str:
        """The name to store."""
        known = self._known.get(name)
        if known is not None:
            return known
        label = first_label(name)
        canonical = self.own_name if label in self._own_labels else label[:255]
        if len(self._known) < 10_000:  # a log with hostile host names must not fill the memory
            self._known[name] = canonical
        return canonical
