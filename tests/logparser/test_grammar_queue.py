import pytest

from sendproof_logparser import grammar_queue
from sendproof_logparser.events import Disposed, Disposition
from sendproof_logparser.grammar_queue import read_postsuper, read_qmgr
from sendproof_testing.log_records import log_texts, rules_without_a_line


@pytest.mark.parametrize(("name", "daemon"), [("QMGR", "qmgr"), ("BOUNCE", "bounce"), ("POSTSUPER", "postsuper")])
def test_every_rule_is_in_the_corpus(name: str, daemon: str) -> None:
    assert rules_without_a_line(getattr(grammar_queue, f"{name}_RULES"), log_texts(daemon)) == []


def test_the_queue_manager_is_done_with_a_file_and_an_administrator_deletes_it() -> None:
    assert read_qmgr("4F5C64474F: removed") == Disposed("4F5C64474F", Disposition.REMOVED)
    assert read_postsuper("4F5C64474F: removed") == Disposed("4F5C64474F", Disposition.DELETED)
