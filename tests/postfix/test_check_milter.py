"""Mail comes to our milter with what it needs, and nobody breaks the signature after it."""

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sendproof_milter import session
from sendproof_postfix import check_milter
from sendproof_postfix.check_milter_protocol import ADD_FIELDS, CHANGE_FIELDS, SET_MACROS, packet
from sendproof_postfix.doctor import Finding, Severity
from sendproof_testing import doctor_subjects, unix_server

VERDICTS = doctor_subjects.verdicts()
MACROS = " ".join(check_milter.WANTED_AT_MAIL)
SERVICE = """\
submission inet n - n - - smtpd
  -o smtpd_sasl_auth_enable=yes
  -o milter_macro_daemon_name=submission
  -o { smtpd_milters = { unix:%(socket)s, default_action=tempfail }%(later)s }
"""


def milter(actions: int, macros: str) -> Callable[[bytes], bytes]:
    payload = struct.pack("!III", 6, actions, 0) + struct.pack("!I", 2) + macros.encode() + b"\0"
    return lambda _asked: packet(b"O", payload)


@pytest.fixture
def folder() -> Iterator[Path]:
    with doctor_subjects.public_folder() as found:
        yield found


def order(folder: Path, *, later: str = "", main: str = "", master: str = "") -> list[Finding]:
    socket = folder / "milter.sock"
    doctor_subjects.postfix(folder, main, SERVICE % {"socket": socket, "later": later} + master)
    subject = doctor_subjects.subject(folder, f'[milter]\nsocket = "{socket}"\n')
    return list(check_milter.look_at_order(subject, VERDICTS))


def answer(folder: Path) -> Finding:
    socket = folder / "milter.sock"
    doctor_subjects.postfix(folder, master=SERVICE % {"socket": socket, "later": ""})
    subject = doctor_subjects.subject(folder, f'[milter]\nsocket = "{socket}"\n')
    (finding,) = check_milter.look_at_answer(subject, VERDICTS)
    return finding


def test_the_doctor_wants_the_macros_that_the_milter_asks_for() -> None:
    assert tuple(session._MAIL_MACROS.split()) == check_milter.WANTED_AT_MAIL
    assert session.OUR_DAEMONS == check_milter.OUR_DAEMONS


def test_a_submission_service_that_asks_our_milter_alone_is_well(folder: Path) -> None:
    assert doctor_subjects.severities(order(folder)) == [Severity.OK]


def test_no_service_that_asks_our_milter_is_an_error(folder: Path) -> None:
    doctor_subjects.postfix(folder)
    subject = doctor_subjects.subject(folder, '[milter]\nsocket = "/run/milter.sock"\n')
    (finding,) = check_milter.look_at_order(subject, VERDICTS)
    assert finding.severity is Severity.ERROR


def test_a_second_service_where_people_sign_in_past_the_milter_is_a_warning(folder: Path) -> None:
    (finding,) = order(folder, master="2525 inet n - n - - smtpd\n  -o smtpd_sasl_auth_enable=yes\n")
    assert finding.severity is Severity.WARNING
    assert "2525/inet" in finding.said


def test_a_milter_that_is_not_told_the_queue_id_is_an_error(folder: Path) -> None:
    (finding,) = order(folder, main="milter_data_macros =\nmilter_end_of_data_macros = {mail_addr}\n")
    assert finding.severity is Severity.ERROR
    assert "milter_end_of_data_macros" in finding.said


def test_an_old_protocol_needs_the_macros_in_postfixs_own_lists(folder: Path) -> None:
    (finding,) = order(folder, main="milter_protocol = 4\nmilter_mail_macros = i\n")
    assert finding.severity is Severity.ERROR
    assert "{auth_authen}" in finding.said


@pytest.mark.parametrize(
    ("actions", "severity"),
    [(CHANGE_FIELDS, Severity.WARNING), (ADD_FIELDS, Severity.NOTE), (0, Severity.OK)],
)
def test_a_later_milter_is_asked_whether_it_may_break_the_signature(
    folder: Path, actions: int, severity: Severity
) -> None:
    with unix_server.answering(folder / "later.sock", milter(actions, "j")):
        (finding,) = order(folder, later=f", unix:{folder}/later.sock")
    assert finding.severity is severity


def test_a_later_milter_that_does_not_answer_is_a_warning(folder: Path) -> None:
    (finding,) = order(folder, later=f", unix:{folder}/later.sock")
    assert finding.severity is Severity.WARNING
    assert "No such file" in finding.said


def test_mail_that_goes_out_while_the_milter_is_away_is_a_warning(folder: Path) -> None:
    socket = folder / "milter.sock"
    services = SERVICE.replace("default_action=tempfail", "default_action=accept")
    doctor_subjects.postfix(folder, master=services % {"socket": socket, "later": ""})
    subject = doctor_subjects.subject(folder, f'[milter]\nsocket = "{socket}"\n')
    (finding,) = check_milter.look_at_order(subject, VERDICTS)
    assert finding.severity is Severity.WARNING
    assert "'accept'" in finding.said


def test_a_milter_that_answers_and_asks_for_our_macros_is_ours(folder: Path) -> None:
    with unix_server.answering(folder / "milter.sock", milter(SET_MACROS, MACROS)):
        (folder / "milter.sock").chmod(0o666)
        assert answer(folder).severity is Severity.OK


def test_another_milter_on_our_socket_is_found_out(folder: Path) -> None:
    with unix_server.answering(folder / "milter.sock", milter(CHANGE_FIELDS, "j")):
        (folder / "milter.sock").chmod(0o666)
        finding = answer(folder)
    assert finding.severity is Severity.WARNING
    assert "{auth_authen}" in finding.said


@pytest.mark.skipif(os.geteuid() != 0, reason="asks in the name of Postfix's user")
def test_a_socket_that_postfixs_user_may_not_use_is_an_error(folder: Path) -> None:
    with unix_server.answering(folder / "milter.sock", milter(SET_MACROS, MACROS)):
        (folder / "milter.sock").chmod(0o600)
        finding = answer(folder)
    assert finding.severity is Severity.ERROR
    assert "the user postfix may not connect" in finding.said


def test_a_socket_that_is_not_there_or_dead_is_an_error(folder: Path) -> None:
    assert "is not there" in answer(folder).said
    with unix_server.answering(folder / "milter.sock", milter(SET_MACROS, MACROS)):
        (folder / "milter.sock").chmod(0o666)
    dead = answer(folder)
    assert dead.severity is Severity.ERROR
    assert "refused" in dead.said
