import datetime as dt

from sqlalchemy import delete, event, select
from sqlalchemy.orm import Session

from sendproof_core import transcript_queries
from sendproof_core.database import Database
from sendproof_core.links import LinkEvidence, LinkKind
from sendproof_core.schema import Account, Attempt, LogGap, QueueFile, Recipient
from sendproof_core.transcripts import OriginView
from sendproof_testing import sample_record


def filled(database: Database) -> tuple[int, int]:
    """The two accounts of the sample record."""
    with database.writing() as session:
        sample_record.fill(session)
    with database.reading() as session:
        ids = {account.login: account.id for account in session.scalars(select(Account))}
    return ids["max"], ids["eve"]


def counted_statements(session: Session) -> list[str]:
    """What the session's connection runs from now on."""
    statements: list[str] = []
    event.listen(session.connection(), "before_cursor_execute", lambda *given: statements.append(given[2]))
    return statements


def test_a_transcript_has_its_recipients_in_the_order_of_rcpt_to(either_database: Database) -> None:
    filled(either_database)
    with either_database.reading() as session:
        found = transcript_queries.load_transcript(session, sample_record.OFFER_ID)
    assert found is not None
    assert found.message.subject
    assert len(found.recipients) >= 4
    assert all(attempt.at.tzinfo is not None for recipient in found.recipients for attempt in recipient.attempts)


def test_another_accounts_message_is_as_if_it_did_not_exist(either_database: Database) -> None:
    mine, theirs = filled(either_database)
    with either_database.reading() as session:
        assert transcript_queries.load_transcript(session, sample_record.FOREIGN_ID, theirs) is not None
        assert transcript_queries.load_transcript(session, sample_record.FOREIGN_ID, mine) is None
        assert transcript_queries.find_message(session, str(sample_record.FOREIGN_ID), mine) is None


def test_a_message_is_found_by_each_of_its_names(either_database: Database) -> None:
    mine, _ = filled(either_database)

    def find(session: Session, text: str) -> object:
        return transcript_queries.find_message(session, text, mine)

    with either_database.reading() as session:
        offer = transcript_queries.load_transcript(session, sample_record.OFFER_ID)
        assert offer
        assert offer.message.queue_id
        assert offer.message.message_id_header
        for name in (
            str(offer.message.id),
            offer.message.queue_id,
            offer.message.message_id_header,
            offer.message.message_id_header.strip("<>"),
        ):
            assert find(session, name) == offer.message.id
        assert find(session, "no such name") is None
        assert find(session, "") is None


def test_the_list_is_newest_first_and_goes_on_from_a_moment(either_database: Database) -> None:
    mine, _ = filled(either_database)
    with either_database.reading() as session:
        everything = transcript_queries.list_messages(session, mine, limit=100)
        first = transcript_queries.list_messages(session, mine, limit=1)
        rest = transcript_queries.list_messages(session, mine, limit=100, before=first[0].submitted_at)
        assert transcript_queries.count_messages(session, mine) == len(everything)
    times = [summary.submitted_at for summary in everything]
    assert times == sorted(times, reverse=True)
    assert [*first, *rest] == list(everything)
    assert sample_record.FOREIGN_ID not in {summary.id for summary in everything}


def test_refusals_are_newest_first(either_database: Database) -> None:
    mine, _ = filled(either_database)
    with either_database.reading() as session:
        refusals = transcript_queries.list_refusals(session, mine, limit=100)
        older = transcript_queries.list_refusals(
            session, mine, limit=100, before=dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
        )
    assert refusals
    assert [view.at for view in refusals] == sorted((view.at for view in refusals), reverse=True)
    assert older == ()


def test_a_recipient_is_followed_from_queue_file_to_queue_file(either_database: Database) -> None:
    filled(either_database)
    with either_database.reading() as session:
        found = transcript_queries.load_transcript(session, sample_record.HANDED_ON_ID)
    assert found is not None
    told = [(item.address, item.final_address, item.state.value, len(item.attempts)) for item in found.recipients]
    assert told == [
        ("anna@example.net", None, "delivered", 1),
        ("team@own.example", "zoe@example.org", "delivered", 1),
        ("team@own.example", "ben@example.com", "bounced", 1),
        ("dora@example.edu", None, "deferred", 0),
        ("carl@example.com", None, "delivered", 2),
    ]
    hops = [[(hop.kind.value, hop.queue_id, hop.evidence) for hop in item.hops] for item in found.recipients]
    assert hops[0] == [("filter", "4dDlFiltered2", "orig_queue_id")]
    assert hops[1] == hops[2] == [("forward", "4dDlForward3", "forwarded as")]
    assert hops[4] == [("requeue", "4dDlRequeued4", "orig_id")]
    dora = found.recipients[3]
    assert (dora.suspensions, dora.suspended_because) == (
        4,
        "connect to mail.example.edu[203.0.113.77]:25: Connection refused",
    )
    assert found.recipients[0].attempts[0].queue_id == "4dDlFiltered2"


def test_the_list_says_the_same_states_as_the_transcript(either_database: Database) -> None:
    mine, _ = filled(either_database)
    with either_database.reading() as session:
        for line in transcript_queries.list_messages(session, mine, limit=100):
            found = transcript_queries.load_transcript(session, line.id)
            assert found is not None
            assert set(line.recipients) == {(item.address, item.state) for item in found.recipients}


def test_a_list_takes_few_queries_however_many_messages_it_has(sqlite_database: Database) -> None:
    with sqlite_database.writing() as session:
        sample_record.fill(session, older_messages=60)
    counts = []
    for limit in (2, 60):
        with sqlite_database.reading() as session:
            statements = counted_statements(session)
            assert len(transcript_queries.list_messages(session, 1, limit=limit)) == limit
        counts.append(len(statements))
    assert counts[0] == counts[1] <= 6


def test_a_transcript_takes_as_many_queries_for_many_recipients_as_for_one(sqlite_database: Database) -> None:
    filled(sqlite_database)
    counts = []
    for message_id in (sample_record.HOSTILE_ID, sample_record.OFFER_ID):
        with sqlite_database.reading() as session:
            statements = counted_statements(session)
            assert transcript_queries.load_transcript(session, message_id)
        counts.append(len(statements))
    assert counts[0] == counts[1] <= 8


def test_a_message_is_found_by_the_queue_ids_of_what_came_of_it_and_by_the_receivers(
    either_database: Database,
) -> None:
    mine, theirs = filled(either_database)
    with either_database.reading() as session:
        for name in ("4dDlHandedOn1", "4dDlFiltered2", "4dDlForward3", "4dDlRequeued4", "1234567"):
            assert transcript_queries.find_message(session, name) == sample_record.HANDED_ON_ID
            assert transcript_queries.find_message(session, name, mine) == sample_record.HANDED_ON_ID
            assert transcript_queries.find_message(session, name, theirs) is None


def test_a_child_belongs_to_the_life_of_a_short_queue_id_in_which_it_was_born(either_database: Database) -> None:
    """Short queue ids are used again: the mail of another life is not this message's."""
    mine, _ = filled(either_database)
    with either_database.writing() as session:
        first = session.scalars(select(QueueFile).where(QueueFile.queue_id == "4dDlHandedOn1")).one()
        life = {"host": first.host, "instance": first.instance, "queue_id": first.queue_id}
        later = QueueFile(**life, born_at=first.born_at + dt.timedelta(hours=9))
        session.add(later)
        session.flush()
        at = later.born_at + dt.timedelta(seconds=1)
        other = sample_record.child_of(
            session, later, "4dDlStranger", at, LinkKind.FILTER, LinkEvidence.ORIGINAL_QUEUE_ID
        )
        session.add(
            Recipient(
                queue_file_id=other.id, address="anna@example.net", final_address=None, number=None,
                state="bounced", state_at=at,
            )
        )  # fmt: skip
    with either_database.reading() as session:
        found = transcript_queries.load_transcript(session, sample_record.HANDED_ON_ID)
        assert transcript_queries.find_message(session, "4dDlStranger", mine) is None
    assert found is not None
    assert found.recipients[0].state.value == "delivered"


def test_a_hop_is_never_a_delivery(either_database: Database) -> None:
    """Where nothing is known of the queue file in which the mail goes on."""
    filled(either_database)
    with either_database.writing() as session:
        child = session.scalars(select(QueueFile).where(QueueFile.queue_id == "4dDlFiltered2")).one()
        held = select(Recipient.id).where(Recipient.queue_file_id == child.id)
        session.execute(delete(Attempt).where(Attempt.recipient_id.in_(held)))
        session.execute(delete(Recipient).where(Recipient.queue_file_id == child.id))
        session.execute(delete(QueueFile).where(QueueFile.id == child.id))
    with either_database.reading() as session:
        found = transcript_queries.load_transcript(session, sample_record.HANDED_ON_ID)
    assert found is not None
    anna = found.recipients[0]
    assert (anna.state.value, anna.attempts) == ("queued", ())
    assert [(hop.kind.value, hop.queue_id) for hop in anna.hops] == [("filter", "4dDlFiltered2")]


def test_a_transcript_has_the_gaps_of_its_own_host_since_it_was_submitted(either_database: Database) -> None:
    filled(either_database)
    with either_database.writing() as session:
        gap = session.scalars(select(LogGap)).one()
        for number, (host, hours) in enumerate((("edge2", 1), ("edge1", -9)), start=2):
            ends_at = gap.ends_at + dt.timedelta(hours=hours)
            session.add(LogGap(host=host, source=gap.source, ends_at=ends_at, text="lost", line_key=number))
    with either_database.reading() as session:
        found = transcript_queries.load_transcript(session, sample_record.UNKNOWN_ID)
    assert found is not None
    assert [gap.lines for gap in found.message.gaps] == [4112]


# --- mail of which only the mail log speaks -------------------------------------------------------------------------


def with_old_mail(database: Database) -> tuple[int, int]:
    """As `filled`, with mail that no journal speaks of."""
    ids = filled(database)
    with database.writing() as session:
        sample_record.fill_from_the_log(session)
    return ids


def test_mail_that_no_journal_speaks_of_is_found_by_each_of_its_names_and_followed(either_database: Database) -> None:
    with_old_mail(either_database)
    with either_database.reading() as session:
        for name in ("OLD1", "OLD2", "old@old.example", "<old@old.example>", "THEIRS1"):
            newest = transcript_queries.find(session, name)[0]
            found = transcript_queries.load_transcript(session, newest.id)
            assert found is not None
            assert (found.message.queue_id, found.message.login) == ("OLD1", "olga")
            told = [(item.address, item.state.value, [hop.queue_id for hop in item.hops]) for item in found.recipients]
            assert told == [("anna@example.net", "delivered", ["OLD2"]), ("carl@example.com", "bounced", ["OLD2"])]


def test_what_nothing_says_of_it_is_not_known(either_database: Database) -> None:
    with_old_mail(either_database)
    with either_database.reading() as session:
        found = transcript_queries.load_transcript(session, transcript_queries.find(session, "OLD2")[0].id)
    assert found is not None
    message = found.message
    assert not message.is_admitted
    assert (message.client_address, message.size_bytes) == ("203.0.113.7", 2048)
    assert (message.account_id, message.credential_label, message.subject, message.pixel) == (None, None, None, None)


def test_of_several_lives_and_hosts_the_newest_is_first_and_each_can_be_chosen(either_database: Database) -> None:
    with_old_mail(either_database)
    with either_database.reading() as session:
        lives = transcript_queries.find(session, "OLD1")
        assert [life.host for life in lives] == ["edge1", "edge1", "edge2"]
        assert [life.at for life in lives] == sorted((life.at for life in lives), reverse=True)
        assert transcript_queries.find(session, "OLD1", host="edge2") == lives[2:]
        assert transcript_queries.find(session, "OLD1", before=lives[0].at) == lives[1:]
        assert transcript_queries.find(session, "OLD1", host="edge3") == ()
        # a child comes from the life in which it was born
        assert transcript_queries.find(session, "OLD2") == lives[:1]


def test_messages_and_other_mail_of_one_name_stand_side_by_side(either_database: Database) -> None:
    with_old_mail(either_database)
    with either_database.writing() as session:
        old = session.scalars(select(QueueFile).where(QueueFile.queue_id == "OLD9")).one()
        old.queue_id = "4dDmPz6NfkzXyz"
        old_id = old.id
    with either_database.reading() as session:
        named = transcript_queries.find(session, "4dDmPz6NfkzXyz")
        assert [namesake.id for namesake in named] == [sample_record.OFFER_ID, old_id]
        assert named[0].host == "edge1"


def test_a_bounce_of_such_mail_is_shown_itself_and_names_what_it_is_about(either_database: Database) -> None:
    with_old_mail(either_database)
    with either_database.reading() as session:
        (named,) = transcript_queries.find(session, "OLD3")
        bounce = transcript_queries.load_transcript(session, named.id)
        (cut,) = transcript_queries.find(session, "OLD9")
        rest = transcript_queries.load_transcript(session, cut.id)
    assert bounce is not None
    assert bounce.message.origin == OriginView("OLD2", LinkKind.NON_DELIVERY)
    assert [item.address for item in bounce.recipients] == ["olga@old.example"]
    assert rest is not None
    assert rest.message.origin == OriginView("OLD8", LinkKind.FORWARD)


def test_a_bounce_of_a_message_leads_to_the_message(either_database: Database) -> None:
    filled(either_database)
    with either_database.writing() as session:
        parent = session.scalars(select(QueueFile).where(QueueFile.queue_id == "4dDlForward3")).one()
        at = parent.born_at + dt.timedelta(seconds=5)
        bounce = sample_record.child_of(
            session, parent, "4dDlBounce5", at, LinkKind.NON_DELIVERY, LinkEvidence.NOTIFICATION
        )
        again = LinkKind.FORWARD, LinkEvidence.FORWARDED_AS
        sample_record.child_of(session, bounce, "4dDlBounce6", at + dt.timedelta(seconds=1), *again)
    with either_database.reading() as session:
        for name in ("4dDlBounce5", "4dDlBounce6"):
            assert [named.id for named in transcript_queries.find(session, name)] == [sample_record.HANDED_ON_ID]


def test_no_account_sees_mail_that_no_journal_speaks_of(either_database: Database) -> None:
    """Not even where the mail log names its login: logins are given again."""
    for account_id in with_old_mail(either_database):
        with either_database.writing() as session:
            for file in session.scalars(select(QueueFile).where(QueueFile.message_id.is_(None))):
                file.login = "max"
        with either_database.reading() as session:
            for name in ("OLD1", "OLD2", "OLD3", "OLD9", "old@old.example", "THEIRS1"):
                assert transcript_queries.find(session, name, account_id=account_id) == ()
                assert transcript_queries.find_message(session, name, account_id) is None
            for number in session.scalars(select(QueueFile.id)):
                assert transcript_queries.load_transcript(session, number, account_id) is None
            listed = transcript_queries.list_messages(session, account_id, limit=100)
            assert listed
            assert all(line.is_admitted for line in listed)


def test_no_loop_of_links_holds_the_search_up(either_database: Database) -> None:
    with either_database.writing() as session:
        sample_record.fill_from_the_log(session)
        for one, other in (("OLD2", "OLD9"), ("OLD9", "OLD2")):
            file = session.scalars(select(QueueFile).where(QueueFile.queue_id == one)).one()
            file.parent_queue_id, file.link_kind, file.born_at = other, LinkKind.FORWARD.value, sample_record.SENT_AT
    with either_database.reading() as session:
        (named,) = transcript_queries.find(session, "OLD2")
        assert transcript_queries.load_transcript(session, named.id) is not None
