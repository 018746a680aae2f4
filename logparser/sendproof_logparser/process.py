"""A process that writes to the log: its machine, its tag and its number, as one value. Pure."""

from typing import NamedTuple

# How the log tags the service that takes copies back (postfix-conf/master.cf.j2).
_RESUBMIT = "/sendproof-resubmit/"
_SUBMISSION = ("/submission/", "/submissions/", "/smtps/")


class Process(NamedTuple):
    """Who wrote a line. ``program``: the whole tag. ``instance``: of Postfix; "" for another program."""

    host: str
    program: str
    pid: int
    instance: str
    daemon: str

    @property
    def takes_submissions(self) -> bool:
        """Whether users submit to this service, by its name in master.cf."""
        return any(service in self.program for service in _SUBMISSION)

    @property
    def takes_copies(self) -> bool:
        """Whether our split transport delivers to this service."""
        return _RESUBMIT in self.program
