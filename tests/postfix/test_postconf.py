from collections.abc import Callable

import pytest

from sendproof_postfix import postconf, versions
from sendproof_postfix.steps import SetMain, SetOption, SetService, Step
from sendproof_testing.operators_postfix import OperatorsPostfix

Make = Callable[[str], OperatorsPostfix]


def test_a_configuration_is_read_as_postfix_understands_it(operators: Make) -> None:
    found = postconf.read(operators("opendkim").directory)
    submission = found.services["submission/inet"]
    assert submission.options["smtpd_sasl_path"] == "private/operators auth"
    assert found.explicit["smtpd_milters"] == "inet:localhost:8891, { inet:localhost:8892, connect_timeout=3s }"
    assert found.expanded["non_smtpd_milters"] == found.explicit["smtpd_milters"]
    assert found.effective["mail_version"].startswith("3.")
    assert "config_directory" not in found.explicit


def test_octets_that_are_no_text_come_back_as_they_were(operators: Make) -> None:
    made = operators("octets")
    before = postconf.read(made.directory)
    postconf.edit(made.directory, [SetMain("delay_warning_time", None, "4h")])
    assert postconf.read(made.directory).explicit["mail_name"] == before.explicit["mail_name"] == "P\udcf6stfix"


def test_every_kind_of_step_is_carried_out_and_taken_back(operators: Make) -> None:
    made = operators("submission")
    before = postconf.read(made.directory)
    there: list[Step] = [
        SetMain("delay_warning_time", None, "4h"),
        SetService("x/unix", None, "x unix - - n - - smtp -o { smtp_helo_name = $myhostname }"),
        SetOption("smtp/unix", "debug_peer_level", None, "1"),
        SetOption("submission/inet", "smtpd_sasl_path", "private/operators auth", "ours"),
    ]
    back: list[Step] = [
        SetMain("delay_warning_time", "4h", None),
        SetService("x/unix", "", None),
        SetOption("smtp/unix", "debug_peer_level", "1", None),
        SetOption("submission/inet", "smtpd_sasl_path", "ours", "private/operators auth"),
    ]
    postconf.edit(made.directory, there)
    after = postconf.read(made.directory)
    assert after.explicit["delay_warning_time"] == "4h"
    assert after.services["submission/inet"].options["smtpd_sasl_path"] == "ours"
    assert after.services["smtp/unix"].options == {"debug_peer_level": "1"}
    postconf.edit(made.directory, back)
    assert postconf.read(made.directory).same_settings(before)


@pytest.mark.parametrize(
    ("file", "line", "words"),
    [
        ("main.cf", "default_process_limit = abc\n", "default_process_limit"),
        ("main.cf", "no setting\n", "missing '='"),
        ("master.cf", "relay inet\n", "bad field count"),
    ],
)
def test_what_postfix_refuses_is_said_in_its_words(operators: Make, file: str, line: str, words: str) -> None:
    made = operators("stock")
    with (made.directory / file).open("a") as config:
        config.write(line)
    with pytest.raises(postconf.Refused, match=words):
        postconf.check(made.directory)


def test_a_postfix_that_was_not_started_does_not_run(operators: Make) -> None:
    assert not postconf.is_running(operators("stock").directory)


def test_dovecot_says_its_version() -> None:
    assert versions.reads_our_dovecot(postconf.dovecot_version())
    assert postconf.dovecot_version()[:1].isdecimal()
