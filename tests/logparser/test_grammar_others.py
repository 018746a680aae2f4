import pytest

from sendproof_logparser.events import IRRELEVANT
from sendproof_logparser.grammar_others import RULES_OF_PROGRAMS, read_other_program
from sendproof_testing.log_records import log_texts, rules_without_a_line


@pytest.mark.parametrize("program", RULES_OF_PROGRAMS)
def test_every_rule_is_in_the_corpus(program: str) -> None:
    texts = log_texts(program, f"{program}-2177", program.removesuffix("d"))
    assert rules_without_a_line(RULES_OF_PROGRAMS[program], texts) == []


@pytest.mark.parametrize("program", RULES_OF_PROGRAMS)
def test_what_another_program_says_is_never_unknown(program: str) -> None:
    assert read_other_program(program, "password: c2VjcmV0") is IRRELEVANT


def test_no_password_that_dovecot_logs_is_taken_over() -> None:
    event = read_other_program("dovecot", "auth: sql(max,192.0.2.7): Password mismatch (given password: c2VjcmV0)")
    assert "c2VjcmV0" not in repr(event)
