import datetime as dt
import time

from hypothesis import given
from hypothesis import strategies as st

from sendproof_core.chains import ChainFile, ChainRecipient, Way, named_queue_ids, ways
from sendproof_core.links import LinkKind
from sendproof_core.states import RecipientState

AT = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.UTC)
QUEUED, DELIVERED, CANCELLED = RecipientState.QUEUED, RecipientState.DELIVERED, RecipientState.CANCELLED


def file(
    number: int,
    parent: ChainFile | None = None,
    kind: LinkKind | None = None,
    *,
    journal: bool = False,
    host: str = "edge1",
) -> ChainFile:
    """The queue file Q<number>, born so many seconds later."""
    at = AT + dt.timedelta(seconds=number)
    of_message = journal or parent is None
    parent_id = parent.id if parent else None
    return ChainFile(number, host, "postfix", f"Q{number:05}", at, parent_id, kind, None, of_message)


class Record:
    """Queue files and their recipients, numbered as they come."""

    def __init__(self, *files: ChainFile) -> None:
        self.files = files
        self.recipients: list[ChainRecipient] = []
        self.texts: dict[int, list[str]] = {}

    def add(
        self,
        of: ChainFile,
        address: str,
        number: int | None = None,
        state: RecipientState = QUEUED,
        *texts: str,
        final: str | None = None,
    ) -> None:
        recipient = ChainRecipient(len(self.recipients) + 1, of, address, final, number, state)
        self.recipients.append(recipient)
        self.texts[recipient.id] = list(texts)

    def ways(self) -> list[Way]:
        return ways(self.files, self.recipients, self.texts)

    def told(self) -> list[tuple[str, str | None, str, str]]:
        """Of each recipient: address, where it leads, state, and the queue id where it is."""
        return [(way.address, way.final_address, way.state.value, way.last.file.queue_id) for way in self.ways()]


def test_a_filter_that_gives_one_message_back_as_two_says_of_each_recipient_where_it_went() -> None:
    first = file(1)
    left, right = file(2, first, LinkKind.FILTER), file(3, first, LinkKind.FILTER)
    record = Record(first, left, right)
    record.add(first, "a@example.net", 1, QUEUED, "250 2.0.0 Ok: queued as Q00002")
    record.add(first, "b@example.net", 2, QUEUED, "250 2.0.0 Ok: queued as Q00003")
    record.add(left, "a@example.net", None, DELIVERED)
    record.add(right, "b@example.net", None, RecipientState.BOUNCED)
    assert record.told() == [
        ("a@example.net", None, "delivered", "Q00002"),
        ("b@example.net", None, "bounced", "Q00003"),
    ]


def test_several_hops_are_followed_to_the_end_also_where_one_is_silent() -> None:
    first = file(1)
    silent = file(2, first, LinkKind.FILTER)
    last = file(3, silent, LinkKind.FILTER)
    record = Record(first, silent, last)
    record.add(first, "a@example.net", 1)
    record.add(last, "a@example.net", None, DELIVERED)
    assert record.told() == [("a@example.net", None, "delivered", "Q00003")]


def test_a_recipient_is_followed_from_edge_to_edge_and_the_last_one_says_what_became_of_it() -> None:
    first = file(1)
    copy = file(2, first, LinkKind.COPY, journal=True)
    relayed = file(3, copy, LinkKind.RELAY, host="edge2")
    again = file(4, relayed, LinkKind.RELAY, host="edge3")
    record = Record(first, copy, relayed, again)
    record.add(first, "a@example.net", 1, QUEUED, "250 2.0.0 Ok: queued as Q00002")
    record.add(copy, "a@example.net", 1, QUEUED, "250 2.0.0 Ok: queued as Q00003")
    record.add(relayed, "a@example.net", None, QUEUED, "250 2.0.0 Ok: queued as Q00004")
    record.add(again, "a@example.net", None, RecipientState.BOUNCED)
    (way,) = record.ways()
    assert [step.file.host for step in way.steps] == ["edge1", "edge1", "edge2", "edge3"]
    assert (way.number, way.state) == (1, RecipientState.BOUNCED)


def test_an_alias_that_leads_to_several_shows_each_under_the_name_that_the_sender_wrote() -> None:
    first = file(1)
    forwarded = file(2, first, LinkKind.FORWARD)
    record = Record(first, forwarded)
    record.add(first, "team@own.example", 1, QUEUED, "forwarded as Q00002")
    record.add(first, "other@example.net", 2, DELIVERED, "250 ok")
    record.add(forwarded, "zoe@example.org", None, DELIVERED)
    record.add(forwarded, "ben@example.com", None, RecipientState.DEFERRED)
    assert record.told() == [
        ("team@own.example", "zoe@example.org", "delivered", "Q00002"),
        ("team@own.example", "ben@example.com", "deferred", "Q00002"),
        ("other@example.net", None, "delivered", "Q00001"),
    ]


def test_members_of_an_alias_that_have_its_number_are_shown_under_its_name() -> None:
    first = file(1)
    record = Record(first)
    record.add(first, "team@own.example", 1, DELIVERED, final="zoe@example.org")
    record.add(first, "ben@example.com", 1, QUEUED)
    assert record.told() == [
        ("team@own.example", "zoe@example.org", "delivered", "Q00001"),
        ("team@own.example", "ben@example.com", "queued", "Q00001"),
    ]


def test_mail_that_is_kept_here_and_sent_on_as_well_is_both() -> None:
    first = file(1)
    forwarded = file(2, first, LinkKind.FORWARD)
    record = Record(first, forwarded)
    record.add(first, "max@own.example", 1, QUEUED, "delivered to mailbox", "forwarded as Q00002")
    record.add(forwarded, "max@example.org", None, RecipientState.DEFERRED)
    assert record.told() == [
        ("max@own.example", None, "delivered", "Q00001"),
        ("max@own.example", "max@example.org", "deferred", "Q00002"),
    ]


def test_what_was_put_back_into_the_queue_goes_on_there_and_what_was_done_stays_done() -> None:
    first = file(1)
    again = file(2, first, LinkKind.REQUEUE)
    record = Record(first, again)
    record.add(first, "a@example.net", 1, DELIVERED, "250 ok")
    record.add(first, "b@example.net", 2, RecipientState.DEFERRED)
    record.add(again, "b@example.net", None, DELIVERED)
    assert record.told() == [
        ("a@example.net", None, "delivered", "Q00001"),
        ("b@example.net", None, "delivered", "Q00002"),
    ]


def test_a_copy_that_was_made_again_counts_once() -> None:
    first = file(1)
    dead, living = file(3, first, LinkKind.COPY, journal=True), file(2, first, LinkKind.COPY, journal=True)
    record = Record(first, dead, living)
    record.add(first, "a@example.net", 1)
    record.add(dead, "a@example.net", 1, CANCELLED)
    record.add(living, "a@example.net", 1, QUEUED)
    assert record.told() == [("a@example.net", None, "queued", "Q00002")]


def test_whom_nobody_wrote_to_is_not_shown() -> None:
    """A filter's copy to an archive."""
    first = file(1)
    filtered = file(2, first, LinkKind.FILTER)
    record = Record(first, filtered)
    record.add(first, "a@example.net", 1, QUEUED, "250 2.0.0 Ok: queued as Q00002")
    record.add(first, "b@example.net", 2, QUEUED, "250 2.0.0 Ok: queued as Q00002")
    for address in ("a@example.net", "b@example.net", "archive@relay.example"):
        record.add(filtered, address, None, DELIVERED)
    assert [address for address, *_ in record.told()] == ["a@example.net", "b@example.net"]


def test_an_address_that_a_filter_rewrote_is_known_where_one_is_left_on_each_side() -> None:
    first = file(1)
    filtered = file(2, first, LinkKind.FILTER)
    record = Record(first, filtered)
    record.add(first, "a@example.net", 1)
    record.add(first, "b@example.net", 2)
    record.add(filtered, "b@example.net", None, DELIVERED)
    record.add(filtered, "anna@example.net", None, DELIVERED)
    assert record.told() == [
        ("a@example.net", "anna@example.net", "delivered", "Q00002"),
        ("b@example.net", None, "delivered", "Q00002"),
    ]


def test_handed_on_to_a_queue_file_of_which_nothing_is_known_is_not_delivered() -> None:
    first = file(1)
    filtered = file(2, first, LinkKind.FILTER)
    record = Record(first, filtered)
    record.add(first, "a@example.net", 1, QUEUED, "250 2.0.0 Ok: queued as Q00002")
    assert record.told() == [("a@example.net", None, "queued", "Q00001")]


# Every copy was compared with every recipient: 1.6 s for a thousand, and four times as long for twice as many.
def test_thousands_of_copies_are_followed_in_a_moment() -> None:
    count = 4_000
    root = file(0)
    copies = [file(number, root, LinkKind.COPY, journal=True) for number in range(1, count + 1)]
    record = Record(root, *copies)
    for number in range(1, count + 1):
        record.add(root, f"r{number}@example.net", number, QUEUED, f"250 2.0.0 Ok: queued as Q{number:05}")
    for number, copy in enumerate(copies, start=1):
        record.add(copy, f"r{number}@example.net", number, DELIVERED)
    began = time.process_time()
    found = record.ways()
    assert time.process_time() - began < 5
    assert [(way.number, way.last.file.id) for way in found] == [(number, number) for number in range(1, count + 1)]


def test_the_queue_ids_under_which_mail_goes_on_are_read_from_the_status_line() -> None:
    assert named_queue_ids("250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as 1310930001DB") == (
        "1310930001DB",
    )
    assert named_queue_ids("250 2.0.0 Ok, id=1, queued as B6B682E547/C6B682E548") == ("B6B682E547", "C6B682E548")
    assert named_queue_ids("forwarded as 4PbMVH1yTpz3tG3") == ("4PbMVH1yTpz3tG3",)
    assert named_queue_ids("delivered to mailbox") == ()


@given(
    st.lists(st.tuples(st.integers(0, 6), st.sampled_from(LinkKind)), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(1, 6), st.sampled_from("abc"), st.none() | st.integers(1, 3)), max_size=12),
)
def test_whatever_the_links_are_it_ends_and_no_state_is_invented(
    parents: list[tuple[int, LinkKind]], held: list[tuple[int, str, int | None]]
) -> None:
    """Also in circles."""
    files = [
        ChainFile(number, "h", "", f"Q{number:05}", AT, parent or None, kind, None, number == 1)
        for number, (parent, kind) in enumerate(parents, start=1)
    ]
    record = Record(*files)
    for number, address, rcpt in held:
        if number <= len(files):
            record.add(files[number - 1], address, rcpt)
    assert {way.state for way in record.ways()} <= {QUEUED}
    assert bool(record.ways()) or not record.recipients or not any(f.is_of_message for f in files)
