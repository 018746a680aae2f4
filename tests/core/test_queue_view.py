from sqlalchemy.orm import Session

from sendproof_core import queue_view
from sendproof_core.database import Database
from sendproof_core.schema import QueueFile, Recipient
from sendproof_core.states import RecipientState
from sendproof_testing import sample_record

NOW = sample_record.SENT_AT


def _waiting(session: Session, address: str, message_id: object, number: int, **values: object) -> None:
    file = QueueFile(host="edge1", instance="postfix", queue_id=f"4q{number}", born_at=NOW, message_id=message_id)
    session.add(file)
    session.flush()
    wanted = {"state": RecipientState.DEFERRED.value, "state_at": NOW, **values}
    session.add(Recipient(queue_file_id=file.id, address=address, **wanted))


def test_accounts_with_mail_that_waits_at_a_domain_are_named_most_first(either_database: Database) -> None:
    with either_database.writing() as session:
        sample_record.fill(session)
        for number in range(2):
            _waiting(session, f"a{number}@Slow.example", sample_record.OFFER_ID, number)
        _waiting(session, "b@slow.example", sample_record.FOREIGN_ID, 2)
        _waiting(session, "c@slow.example", None, 3)
        _waiting(session, "c@not-slow.example", sample_record.OFFER_ID, 4)
        _waiting(session, "d@slow.example", sample_record.OFFER_ID, 5, state=RecipientState.DELIVERED.value)
        _waiting(session, "e@slow.example", sample_record.OFFER_ID, 6, handed_on_at=NOW)
        _waiting(session, "f@alias.example", sample_record.FOREIGN_ID, 7, final_address="f@slow.example")
    with either_database.reading() as session:
        found = queue_view.waiting_accounts(session, "slow.example")
        assert sorted((one.login or "", one.recipients) for one in found) == [("", 1), ("eve", 2), ("max", 2)]
        assert [one.recipients for one in found] == [2, 2, 1]
        assert queue_view.waiting_accounts(session, "%") == ()
