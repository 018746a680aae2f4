"""Opens of real mail, as the account's privacy setting has them kept; and the host name that serves pixels only."""

import re
import time
import urllib.error
import urllib.request

import pytest
from sqlalchemy import select

from sendproof_core import directory
from sendproof_core.database import Database
from sendproof_core.schema import Message, Open
from sendproof_milter.sender_store import MAXIMAL_AGE_SECONDS
from sendproof_testing import mail
from sendproof_testing.installation import ACCEPT
from sendproof_testing.sandbox import Sandbox

pytestmark = pytest.mark.integration

READER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.0"
_PIXEL = re.compile(rb'src="(http://[^"]+/o/[\w-]{56}\.gif)"')


def opened(sandbox: Sandbox, database: Database, recipient: str) -> tuple[str, str, str | None]:
    """What is kept when the recipient of a new mail looks at it."""
    mail.submit(sandbox, [recipient], subject=recipient)
    raw = mail.wait_until(
        lambda: mail.received_by(sandbox.installation.mail_folder, recipient), 30, f"mail for {recipient}"
    )[0]
    found = _PIXEL.search(raw.replace(b"=\r\n", b"").replace(b"=\n", b"").replace(b"=3D", b"="))
    assert found
    address = found[1].decode()
    assert address.startswith(sandbox.installation.tracking_url)
    urllib.request.urlopen(urllib.request.Request(address, headers={"User-Agent": READER}), timeout=10).close()

    def kept() -> tuple[str, str, str | None] | None:
        with database.reading() as session:
            wanted = select(Open).join(Message, Message.id == Open.message_id).where(Message.subject == recipient)
            found = session.scalar(wanted)
            return (found.grade, found.user_agent, found.client_address) if found is not None else None

    return mail.wait_until(kept, 20, "the open in the record")


def test_only_the_grade_is_kept_unless_the_account_wants_more(sandbox: Sandbox, database: Database) -> None:
    assert opened(sandbox, database, f"quiet@{ACCEPT}") == ("person", "", None)
    with database.writing() as session:
        directory.find_account(session, "max").open_details = True
    time.sleep(MAXIMAL_AGE_SECONDS + 0.5)
    try:
        assert opened(sandbox, database, f"watched@{ACCEPT}") == ("person", READER, "127.0.0.1")
    finally:
        with database.writing() as session:
            directory.find_account(session, "max").open_details = False


def test_the_host_of_the_pixels_has_nothing_else(sandbox: Sandbox) -> None:
    made = sandbox.installation
    for path in ("/", "/sign-in", "/messages", "/static/sendproof.css"):
        with pytest.raises(urllib.error.HTTPError, match="404") as refused:
            urllib.request.urlopen(f"{made.tracking_url}{path}", timeout=10)
        assert "Set-Cookie" not in refused.value.headers
        refused.value.close()
    with urllib.request.urlopen(f"{made.web_url}/sign-in", timeout=10) as answer:
        assert answer.status == 200
