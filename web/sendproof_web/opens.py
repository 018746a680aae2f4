"""Whether a fetched pixel speaks of a person, a mail proxy or a machine. Pure; never proof of anything.

The names are those that the services themselves send. A wrong guess towards "machine" costs a notice, a wrong guess
towards "person" is a lie: so doubt counts as machine.
"""

import enum
import re

from sendproof_core.transcripts import MACHINE


class Grade(enum.StrEnum):
    """What fetched a pixel."""

    PERSON = "person"
    PROXY = "proxy"
    MACHINE = MACHINE


# These fetch when the message is shown, and hide who looks.
_PROXIES = re.compile(r"GoogleImageProxy|YahooMailProxy")
# Apple Mail Privacy Protection sends exactly this, whether or not anybody reads.
_APPLE_PREFETCH = "Mozilla/5.0"
# Gmail with the mailbox open at delivery: a browser of 2015, with "Mozilla/5.0" once more at its end.
_GMAIL_PREFETCH = re.compile(r"Chrome/42\.0\.2311\.135 Safari/537\.36 Edge/12\.246 Mozilla/5\.0$")
_PROGRAMS = re.compile(
    r"^$|bot\b|crawl|spider|scan|preview|fetch|monitor|headless|curl|wget|python|urllib|aiohttp|httpx|okhttp|java/"
    r"|go-http-client|ruby|perl|libwww|php|axios|node|barracuda|mimecast|proofpoint|symantec|trend ?micro|fortinet",
    re.IGNORECASE,
)


def grade(method: str, user_agent: str, purpose: str) -> Grade:
    """``purpose``: what the client says of its own request (Sec-Purpose, Purpose or X-Purpose), else empty."""
    if _PROXIES.search(user_agent):
        return Grade.PROXY
    agent = user_agent.strip()
    asks_ahead = method != "GET" or bool(purpose.strip())
    if asks_ahead or agent == _APPLE_PREFETCH or _GMAIL_PREFETCH.search(agent) or _PROGRAMS.search(agent):
        return Grade.MACHINE
    return Grade.PERSON
