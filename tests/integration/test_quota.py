"""Plans: over the limit is refused and not charged; parallel clients get exactly the limit."""

import smtplib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sendproof_core import transcript_queries, transcripts
from sendproof_testing import ledger, mail
from sendproof_testing.installation import ACCEPT, Options
from sendproof_testing.sandbox import Sandbox, running

pytestmark = [pytest.mark.integration]

LIMIT = 50


def charged(sandbox: Sandbox) -> int:
    """The sum of the charges, which every window's count agrees with."""
    database = sandbox.database()
    try:
        return ledger.charged_recipients(database)
    finally:
        database.close()


def submit_many(sandbox: Sandbox, client: int, messages: int, recipients_each: int) -> Counter[str]:
    """One client's messages; how many recipients were accepted and how many refused."""
    made = sandbox.installation
    outcome: Counter[str] = Counter()
    for number in range(messages):
        recipients = [f"c{client}m{number}r{index}@{ACCEPT}" for index in range(recipients_each)]
        with mail.connected(sandbox) as connection:
            connection.login(made.login.login, made.login.password)
            content = mail.html_message(made.login.address, recipients, f"{client}/{number}").as_bytes()
            reply = ""
            try:
                connection.sendmail(made.login.address, recipients, content)
            except smtplib.SMTPDataError as error:
                reply = f"{error.smtp_code} {error.smtp_error!r}"
            if reply:
                assert reply.startswith("550")
                assert "Plan limit reached" in reply
            outcome["refused" if reply else "accepted"] += recipients_each
    return outcome


def test_over_quota_is_refused_with_used_limit_and_reset_and_not_charged(own_folder: Path) -> None:
    with running(own_folder, Options(recipients_per_day=3, time_zone="Europe/Vienna")) as sandbox:
        made = sandbox.installation
        mail.submit(sandbox, [f"a@{ACCEPT}", f"b@{ACCEPT}"])
        with pytest.raises(smtplib.SMTPDataError) as caught:
            mail.submit(sandbox, [f"c@{ACCEPT}", f"d@{ACCEPT}"], subject="Too many")
        reply = str(caught.value.smtp_error)
        assert caught.value.smtp_code == 550
        assert "5.7.1" in reply
        assert "3 recipients per day" in reply
        assert "2 used" in reply
        assert "00:00 CE" in reply  # midnight in the account's own zone, CET or CEST
        assert charged(sandbox) == 2
        mail.submit(sandbox, [f"e@{ACCEPT}"])
        assert charged(sandbox) == 3

        def refusals() -> tuple[transcripts.RefusalView, ...]:
            database = sandbox.database()
            with database.reading() as session:
                found = transcript_queries.list_refusals(session, 1, limit=10)
            database.close()
            return found

        refusal = mail.wait_until(refusals, 20, "the refusal in the record")[0]
        assert refusal.reason == "over-quota"
        assert refusal.subject == "Too many"
        assert refusal.recipients == (f"c@{ACCEPT}", f"d@{ACCEPT}")
        assert "2 used" in refusal.reply
        assert not mail.received_by(made.mail_folder, f"c@{ACCEPT}")


@pytest.mark.parametrize("recipients_each", [1, 3])
def test_parallel_clients_get_exactly_the_limit(own_folder: Path, recipients_each: int) -> None:
    with running(own_folder, Options(recipients_per_day=LIMIT)) as sandbox:
        with ThreadPoolExecutor(20) as pool:
            outcomes = pool.map(lambda client: submit_many(sandbox, client, 4, recipients_each), range(20))
            total = sum(outcomes, Counter[str]())
        exact = LIMIT - LIMIT % recipients_each
        assert total["accepted"] == exact
        assert total["refused"] == 20 * 4 * recipients_each - exact
        assert charged(sandbox) == exact
        folder = sandbox.installation.mail_folder
        mail.wait_until(lambda: len(mail.received(folder)) >= exact, 60, f"{exact} received copies")
        assert len(mail.received(folder)) == exact
