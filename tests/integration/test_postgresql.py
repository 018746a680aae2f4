"""The same installation on PostgreSQL: outcomes, charges and the record."""

from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from sendproof_testing import ledger, mail, oracle
from sendproof_testing.installation import ACCEPT, REFUSE, Options
from sendproof_testing.sandbox import running

pytestmark = [pytest.mark.integration, pytest.mark.postgres]


def test_mail_is_charged_and_recorded_on_postgresql(own_folder: Path, postgres_url: str) -> None:
    with (
        running(own_folder, Options(database_url=postgres_url, recipients_per_day=100)) as sandbox,
        ExitStack() as opened,
    ):
        for number in range(10):
            mail.submit(sandbox, [f"a{number}@{ACCEPT}", f"b{number}@{REFUSE}"], subject=f"Number {number}")
        maillog = sandbox.installation.maillog
        database = opened.enter_context(closing(sandbox.database()))

        def all_recorded() -> bool:
            record = oracle.attempts_in_record(database)
            ours = [key for key in record if key[1][0] in "ab"]
            # Each twice: out of the message that was submitted, and as a copy of its own.
            return len(ours) == 40 and record == oracle.attempts_in_log(maillog)

        mail.wait_until(all_recorded, 60, "20 recipients in the record")
        # The states after the attempts: notices to the sender are being written all the time.
        expected = oracle.expected_states(oracle.attempts_in_record(database))
        states = oracle.states_in_record(database)
        assert {key: states[key] for key in expected} == expected
        assert ledger.charged_recipients(database) == 20
