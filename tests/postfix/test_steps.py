import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_postfix import configuration, steps
from sendproof_postfix.configuration import Configuration
from sendproof_postfix.steps import SetMain, SetOption, SetService, Step

TEXT = st.text(max_size=20)
MAYBE = st.none() | TEXT
STEPS = st.one_of(
    st.builds(SetMain, TEXT, MAYBE, MAYBE),
    st.builds(SetService, TEXT, MAYBE, MAYBE),
    st.builds(SetOption, TEXT, TEXT, MAYBE, MAYBE),
)
ORIGINAL = "submission inet n - y - - smtpd -o smtpd_milters=inet:a"


def configured(main: dict[str, str], *lines: str) -> Configuration:
    return Configuration(main, configuration.services("\n".join(lines)))


@given(step=STEPS)
def test_a_step_comes_back_from_disk_as_it_was(step: Step) -> None:
    assert steps.from_json(json.loads(json.dumps(steps.to_json(step)))) == step


def test_a_parameter_goes_back_to_what_it_was() -> None:
    found = configured({"a": "ours", "b": "ours"})
    back, notes = steps.undo([SetMain("a", None, "ours"), SetMain("b", "theirs", "ours")], found)
    assert back == [SetMain("a", "ours", None), SetMain("b", "ours", "theirs")]
    assert notes == []


def test_what_the_operator_changed_since_stays_and_is_said() -> None:
    found = configured({"a": "new"}, "smtp unix - - n - - smtp -o debug_peer_level=3")
    back, notes = steps.undo([SetMain("a", None, "ours"), SetOption("smtp/unix", "debug_peer_level", None, "1")], found)
    assert back == []
    assert ["a was changed" in notes[0], "debug_peer_level was changed" in notes[1]] == [True, True]


def test_what_the_operator_took_away_since_is_not_brought_back() -> None:
    gone: list[Step] = [
        SetMain("a", None, "x"),
        SetService("s/unix", None, "s unix - - n - - smtp"),
        SetOption("t/unix", "b", None, "x"),
    ]
    assert steps.undo(gone, configured({})) == ([], [])


def test_of_a_list_only_our_part_is_taken_away() -> None:
    step = SetOption("submission/inet", "smtpd_milters", "inet:a", "inet:a,{unix:ours,x=y}")
    edited = ORIGINAL.replace("inet:a", "inet:new,inet:a,{unix:ours,x=y}")
    back, _ = steps.undo([step], configured({}, edited))
    assert [one.after for one in back] == ["inet:new,inet:a"]


@pytest.mark.parametrize(
    ("before", "after", "now", "left"),
    [
        # The list came from main.cf.
        (None, "inet:a,{unix:ours,x=y}", "inet:a,inet:new,{unix:ours,x=y}", "inet:a,inet:new"),
        (None, "inet:a,{unix:ours,x=y}", "inet:a,{ unix:ours, x=z }", "inet:a"),
        ("inet:a", "inet:a,{unix:ours,x=y}", "unix:ours,{inet:a,x=y}", "{inet:a,x=y}"),
        # main.cf named our milter already, and another after it.
        (None, "{unix:ours,x=y},inet:a", "{unix:ours,x=y},inet:a,inet:new", "inet:a,inet:new"),
        (None, "{unix:ours,x=y}", "{unix:ours,x=z}", None),
    ],
)
def test_our_part_of_a_list_is_known_by_its_address(before: str | None, after: str, now: str, left: str | None) -> None:
    step = SetOption("submission/inet", "smtpd_milters", before, after)
    found = configured({}, f"submission inet n - y - - smtpd -o {{ smtpd_milters = {now} }}")
    back, _ = steps.undo([step], found, {"ours", "/queue/ours"})
    assert back == [SetOption("submission/inet", "smtpd_milters", now, left)]


def test_a_service_that_was_copied_with_our_parts_is_named() -> None:
    found = configured(
        {},
        "2587 inet n - n - - smtpd -o cleanup_service_name=sendproof-cleanup",
        "3587 inet n - n - - smtpd -o smtpd_milters=inet:a,{unix:run/milter.sock,x=y}",
        "4587 inet n - n - - smtpd -o syslog_name=sendproof-cleanup -o smtpd_milters=inet:a",
    )
    notes = steps.still_named({"sendproof-cleanup", "run/milter.sock"}, found)
    assert ["2587/inet" in notes[0], "cleanup_service_name=sendproof-cleanup" in notes[0]] == [True, True]
    assert ["3587/inet" in notes[1], len(notes)] == [True, 2]


def test_our_service_goes_even_if_it_was_edited_and_its_words_are_said() -> None:
    step = SetService("sendproof-x/unix", None, "sendproof-x unix - - n - - smtp -o a=b")
    edited = "sendproof-x unix - - n - - smtp -o a=b -o c=d"
    back, notes = steps.undo([step], configured({}, edited))
    assert back == [SetService("sendproof-x/unix", edited, None)]
    assert edited in notes[0]
