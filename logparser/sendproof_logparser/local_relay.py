"""Whether a relay or a client is this machine itself, or a relay another of our edges. Pure."""

import functools
import re
from collections.abc import Iterable

# host[address] or host[address]:port
_ADDRESS = re.compile(r"\[([0-9A-Fa-f.:]+)\](?::\d+)?$")


class LocalRelays:
    """Knows this machine's addresses, and those of our other edges."""

    def __init__(self, own_addresses: Iterable[str] = (), edges: Iterable[str] = ()) -> None:
        """``own_addresses``: beside the loopback ones. ``edges``: of machines whose mail logs are in the record too."""
        self._own = frozenset(own_addresses)
        self._edges = frozenset(edges)
        self.holds = functools.lru_cache(maxsize=1024)(self._holds)  # most relays come again and again

    def is_declared(self, relay: str) -> bool:
        """Whether it is an address that the settings name: what is handed to it comes back."""
        return _is_among(relay, self._own)

    def is_edge(self, relay: str) -> bool:
        """Whether it is another edge that the settings name: what became of the mail, that edge's log says."""
        return _is_among(relay, self._edges)

    def _holds(self, name: str) -> bool:
        """Whether ``host[address]:port``, as Postfix writes a relay or a client, is this machine."""
        found = _ADDRESS.search(name)
        if found is None:
            return False
        return found[1].startswith("127.") or found[1] == "::1" or found[1] in self._own


def _is_among(relay: str, addresses: frozenset[str]) -> bool:
    found = _ADDRESS.search(relay) if addresses else None
    return found is not None and found[1] in addresses
