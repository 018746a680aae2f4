import pytest

from sendproof_logparser import grammar_delivery
from sendproof_logparser.events import IRRELEVANT, DialogueLine
from sendproof_logparser.grammar_delivery import read_smtp
from sendproof_testing.log_records import log_texts, phrases_without_a_line

_AGENTS = ("smtp", "lmtp", "local", "virtual", "pipe", "error", "retry", "discard", "qmgr")


@pytest.mark.parametrize("name", ["SERVER_TROUBLE", "SMTP_NOTES", "SMTP_WARNINGS", "TLS_TROUBLE", "VERBOSE_BEGINNINGS"])
def test_every_phrase_is_in_the_corpus(name: str) -> None:
    assert phrases_without_a_line(getattr(grammar_delivery, name), log_texts("smtp", "lmtp")) == []


def test_every_field_of_a_status_line_is_in_the_corpus() -> None:
    matches = [match for text in log_texts(*_AGENTS) if (match := grammar_delivery.STATUS_LINE.fullmatch(text))]
    without = [group for group in range(1, matches[0].re.groups + 1) if all(match[group] is None for match in matches)]
    assert without == []
    assert any(", tls=" in match[0].partition(", delay=")[0] for match in matches), "before delay="
    assert any(", tls=" in match[0].partition(", delay=")[2] for match in matches), "after delays="
    assert any(match[0][-1] != ")" for match in matches), "cut"


@pytest.mark.parametrize("said", ["AUTH PLAIN AGEAYg==", "AGEAYg==", "MAIL FROM:<max@own.example>"])
def test_what_may_be_a_secret_is_not_remembered(said: str) -> None:
    text = f"> mx.example.net[192.0.2.1]:25: {said}"
    assert read_smtp(text) == DialogueLine(False, "mx.example.net[192.0.2.1]:25", said)
    assert text not in grammar_delivery._remembered
    assert read_smtp(said) is IRRELEVANT
    assert said not in grammar_delivery._remembered


def test_what_is_remembered_is_bounded() -> None:
    for number in range(3 * grammar_delivery.REMEMBERED_TEXTS):
        read_smtp(f"< mx.example.net[192.0.2.1]:25: 250 {number}")
    read_smtp("< mx.example.net[192.0.2.1]:25: 250 " + "x" * 100_000)
    remembered = grammar_delivery._remembered
    assert len(remembered) <= grammar_delivery.REMEMBERED_TEXTS
    assert max(map(len, remembered)) <= grammar_delivery.REMEMBERED_LENGTH


def test_what_was_remembered_is_said_again() -> None:
    text = "< mx.example.net[192.0.2.1]:25: 250-PIPELINING"
    assert read_smtp(text) == read_smtp(text) == DialogueLine(True, "mx.example.net[192.0.2.1]:25", "250-PIPELINING")
