"""Whether a relay or a client is this machine itself. Pure."""

import functools
import re
from collections.abc import Iterable

# host[address] or host[address]:port
_ADDRESS = re.compile(r"\[([0-9A-Fa-f.:]+)\](?::\d+)?$")


class LocalRelays:
    """Knows this machine's addresses."""

    def __init__(self, own_addresses: Iterable[str] = ()) -> None:
        """``own_addresses``: beside the loopback ones."""
        self._own = frozenset(own_addresses)
        self.holds = functools.lru_cache(maxsize=1024)(self._holds)  # most relays come again and again

    def is_declared(self, relay: str) -> bool:
        """Whether it is an address that the settings name: what is handed to it comes back."""
        found = _ADDRESS.search(relay) if self._own else None
        return found is not None and found[1] in self._own

    def _holds(self, name: str) -> bool:
        """Whether ``host[address]:port``, as Postfix writes a relay or a client, is this machine."""
        found = _ADDRESS.search(name)
        if found is None:
            return False
        return found[1].startswith("127.") or found[1] == "::1" or found[1] in self._own
