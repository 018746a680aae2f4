"""Clients that send one mail after the other, while a test does something to what takes it. Checks nothing."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sendproof_testing import mail
from sendproof_testing.installation import ACCEPT, REFUSE
from sendproof_testing.sandbox import Sandbox
from sendproof_testing.sending import send_until_accepted

_MESSAGE = "From: {sender}\r\nTo: you@example.net\r\nSubject: {word}\r\n\r\nHello\r\n"
_PAUSE_SECONDS = 0.1
_PATIENCE_SECONDS = 120


class Client(threading.Thread):
    """Each mail goes to a recipient that is accepted and to one that is refused; a temporary refusal is tried again."""

    def __init__(self, sandbox: Sandbox, name: str) -> None:
        super().__init__()
        self._sandbox = sandbox
        self._name = name
        self._over = threading.Event()
        self.sent: list[str] = []
        self.trouble: BaseException | None = None

    def run(self) -> None:
        """Until `end`."""
        try:
            while not self._over.is_set():
                word = f"{self._name}{len(self.sent)}"
                content = _MESSAGE.format(sender=self._sandbox.installation.login.address, word=word).encode()
                send_until_accepted(self._sandbox, [f"{word}@{ACCEPT}", f"{word}@{REFUSE}"], content)
                self.sent.append(f"{word}@{ACCEPT}")
                self._over.wait(_PAUSE_SECONDS)
        except BaseException as error:  # noqa: BLE001 - raised by `end`
            self.trouble = error

    def end(self) -> list[str]:
        """Stop; the recipients that Postfix took mail for and that accept it."""
        self._over.set()
        self.join(_PATIENCE_SECONDS)
        if self.trouble is not None:
            raise self.trouble
        return self.sent


class Clients:
    """Several at once."""

    def __init__(self, clients: Sequence[Client]) -> None:
        self._clients = clients

    def wait_for_more(self, count: int) -> None:
        """Return when each has sent so many more."""
        wanted = {client: len(client.sent) + count for client in self._clients}

        def are_there() -> bool:
            return all(len(client.sent) >= number or client.trouble for client, number in wanted.items())

        mail.wait_until(are_there, _PATIENCE_SECONDS, f"{count} more mails of each client that are taken")

    def end(self) -> list[str]:
        """As each client's."""
        return [address for client in self._clients for address in client.end()]


@contextmanager
def sending(sandbox: Sandbox, names: Sequence[str] = ("a", "b")) -> Iterator[Clients]:
    """They send for the length of the block, if they are not ended before."""
    clients = [Client(sandbox, name) for name in names]
    for client in clients:
        client.start()
    try:
        yield Clients(clients)
    finally:
        for client in clients:
            client.end()
