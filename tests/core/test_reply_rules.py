import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_core import reply_rules
from sendproof_core.errors import UserError
from sendproof_core.reply_rules import Cause, Fault, Rule, Speaker

RULES = reply_rules.shipped()
GOOD = """
[[rule]]
cause = "too large"
fault = "sender"
reply_codes = ["5xx", 452]
enhanced_codes = ["x.3.4"]
words = ["too big*", "size ... limit"]
without = ["hat"]
example = "552 5.3.4 too big"
"""


def speakers(rule: Rule, words: str) -> list[Speaker]:
    spoken = Speaker.SERVER if words[:3].isdigit() else Speaker.POSTFIX
    return [rule.speaker or spoken]


@pytest.mark.parametrize("number", range(len(RULES)))
def test_each_rule_is_the_first_that_fits_its_example_and_leaves_its_near_misses_alone(number: int) -> None:
    rule = RULES[number]
    for speaker in speakers(rule, rule.example):
        assert reply_rules.find(RULES, speaker, rule.example) is rule
    assert rule.near_misses
    for near_miss in rule.near_misses:
        for speaker in Speaker:
            assert reply_rules.find(RULES, speaker, near_miss) is not rule


def test_every_cause_and_every_fault_has_a_rule() -> None:
    assert {rule.cause for rule in RULES} == set(Cause) - {Cause.ACCEPTED}
    assert {rule.fault for rule in RULES} == set(Fault)


# What servers were seen to say, beside the rules' own examples.
@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("450 4.7.0 <x>: Recipient address rejected: Greylisting in effect, please come back later", Cause.GREYLISTED),
        ("451-4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation",
         Cause.SLOWED_DOWN),
        ("421-4.7.28 Our system has detected an unusual rate of unsolicited mail", Cause.SLOWED_DOWN),
        ("550 5.4.1 Recipient address rejected: Access denied. [X.prod.protection.outlook.com]", Cause.UNKNOWN_USER),
        ("550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup", Cause.UNKNOWN_USER),
        ("550 sorry, no mailbox here by that name. (#5.1.1)", Cause.UNKNOWN_USER),
        ("554 5.7.1 <anna@example.net>: Relay access denied", Cause.NOT_RESPONSIBLE),
        ("550 5.7.23 The message was rejected because of Sender Policy Framework violation", Cause.AUTHENTICATION),
        ("452-4.2.2 The recipient's inbox is out of storage space.", Cause.MAILBOX_FULL),
        ("554 5.7.1 Spam message rejected", Cause.BLOCKED),
        ("452 4.3.1 Insufficient system storage", Cause.THEIR_TROUBLE),
        ("421 4.3.2 Service not available, closing transmission channel", Cause.THEIR_TROUBLE),
        ("550 5.1.1 <spammer@example.net>: Recipient address rejected: User unknown", Cause.UNKNOWN_USER),
    ],
)  # fmt: skip
def test_what_servers_say_is_understood(words: str, cause: Cause) -> None:
    rule = reply_rules.find(RULES, Speaker.SERVER, words)
    assert rule is not None
    assert rule.cause is cause


def test_a_rule_fits_where_everything_is_there() -> None:
    (rule,) = reply_rules.parse(GOOD, "test")
    for words in (
        "552 5.3.4 too big",
        "552-5.3.4 TOO-BIGGER",
        "452 4.3.4 the size is over the limit",
        "550 #5.3.4 too big",
    ):
        assert reply_rules.find((rule,), Speaker.SERVER, words) is rule
    for words in (
        "450 4.3.4 too big",  # another code
        "552 5.3.5 too big",  # another enhanced code
        "552 5.3.4 not too-o big",  # other words
        "552 5.3.4 into big",
        "552 5.3.4 size" + 50 * " " + "limit",
        "552 5.3.4 too big a hat",  # a word that must not be there
        "552 see 5.3.4.1, too big",
    ):
        assert reply_rules.find((rule,), Speaker.SERVER, words) is None


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('"too large"', '"to large"', "rule 1: cause must be one of "),
        ('"sender"', "7", "rule 1: fault must be one of "),
        ("example =", "exampel =", "rule 1 has 'exampel'; a rule knows: "),
        ('example = "552 5.3.4 too big"', "", "rule 1 lacks an example"),
        ("452]", "45]", 'reply_codes must be a list of such as 450 or "4xx", not 45'),
        ('"x.3.4"', '"x.3"', "enhanced_codes must be such as"),
        ('"too big*"', '"too * big"', "'\\*' may stand at the end only"),
        ('"size ... limit"', '"size ... limit ... x"', "'...' may stand once"),
        ('["hat"]', '"hat"', "without must be a list of texts"),
        ("[[rule]]", "[rule]", "must hold rules, each under"),
        ("[[rule]]", "[[rule", "is not valid TOML"),
    ],
)
def test_a_bad_file_is_a_sentence_that_names_the_rule(old: str, new: str, sentence: str) -> None:
    assert old in GOOD
    with pytest.raises(UserError, match=rf"^rules\.toml.*{sentence}"):
        reply_rules.parse(GOOD.replace(old, new), "rules.toml")


def test_a_rule_that_would_fit_everything_is_refused() -> None:
    with pytest.raises(UserError, match="would fit every reply"):
        reply_rules.parse('[[rule]]\ncause = "other"\nfault = "network"\nexample = "x"', "rules.toml")


@given(st.text(), st.sampled_from(Speaker))
def test_any_words_can_be_asked_about(words: str, speaker: Speaker) -> None:
    for text in (words, f"550 5.7.1 {words}"):
        rule = reply_rules.find(RULES, speaker, text)
        assert rule is None or rule.speaker in (None, speaker)


@pytest.mark.parametrize("piece", ["message size ", "mailbox for ", "a", " - ", "conversation with ", "5.1.1", "#5.1."])
def test_a_hostile_reply_takes_no_longer_than_its_length(piece: str) -> None:
    words = f"550 {piece * (20_000 // len(piece))}"
    began = time.perf_counter()
    for speaker in Speaker:
        reply_rules.find(RULES, speaker, words)
    assert time.perf_counter() - began < 1
