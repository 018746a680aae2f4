from dataclasses import replace
from pathlib import Path

import pytest

from sendproof_core.errors import UserError
from sendproof_postfix import wanted
from sendproof_postfix.settings import PostfixSettings
from sendproof_postfix.wanted import Place

SETTINGS = PostfixSettings(tls_certificate=Path("/tls/c.pem"), tls_key=Path("/tls/k.pem"))
PLACE = Place(config_directory=Path("/etc/postfix-out"), milter_socket="sendproof/milter.sock")


def services(settings: PostfixSettings = SETTINGS) -> dict[str, dict[str, str]]:
    return {one.service.key: one.service.options for one in wanted.wanted(settings, PLACE).services}


def test_every_setting_has_its_reason() -> None:
    found = wanted.wanted(SETTINGS, PLACE)
    things = [(one.name, one.reason) for one in (*found.main, *found.outgoing, *found.cleanup)]
    things += [(one.service.key, one.reason) for one in found.services]
    assert len(things) > 10
    assert [name for name, reason in things if len(reason) < 20] == []


def test_no_value_holds_a_blank_that_postconf_would_refuse() -> None:
    found = wanted.wanted(SETTINGS, PLACE)
    values = [one.value for one in (*found.main, *found.outgoing, *found.cleanup)]
    values += [value for one in found.services for value in one.service.options.values()]
    assert [value for value in values if " " in value] == []


def test_mail_fails_softly_when_our_milter_does_and_only_then() -> None:
    for options in services().values():
        if "smtpd_milters" in options:
            assert options["smtpd_milters"].startswith("{unix:sendproof/milter.sock,default_action=tempfail,")


def test_the_services_that_users_reach_let_in_logins_only() -> None:
    for key in ("submission/inet", "submissions/inet"):
        options = services()[key]
        assert options["smtpd_client_restrictions"] == options["smtpd_relay_restrictions"]
        assert options["smtpd_relay_restrictions"] == "permit_sasl_authenticated,reject"
        assert (options["smtpd_tls_security_level"], options["smtpd_tls_auth_only"]) == ("encrypt", "yes")


def test_copies_go_to_ourselves_whatever_main_cf_says_of_a_smarthost() -> None:
    options = services()["sendproof-split/unix"]
    assert (options["smtp_tls_security_level"], options["smtp_tls_wrappermode"]) == ("none", "no")
    assert (options["smtp_sasl_auth_enable"], options["smtp_delivery_status_filter"]) == ("no", "")


def test_nothing_that_smtpd_took_is_too_large_for_our_cleanup() -> None:
    assert {one.name: one.value for one in wanted.wanted(SETTINGS, PLACE).cleanup}["message_size_limit"] == "0"


def test_no_smtpd_is_verbose() -> None:
    assert [
        key for key, options in services().items() if {"debug_peer_list", "debug_peer_level"} & options.keys()
    ] == []


def test_what_is_switched_off_is_not_there() -> None:
    off = replace(
        SETTINGS, submission_port="", submissions_port="465", tls_policy="", tls_certificate=None, tls_key=None
    )
    assert "submission/inet" not in services(off)
    assert "smtpd_tls_cert_file" not in services(off)["465/inet"]
    names = {one.name for one in wanted.wanted(off, PLACE).outgoing}
    assert "smtp_tls_security_level" not in names


def test_dovecot_listens_for_every_instance() -> None:
    text = wanted.dovecot(SETTINGS, Path("/passwd"), [Path("/q2/private/a"), Path("/q1/private/a")])
    assert text.count("unix_listener") == 2
    assert "unix_listener /q1/private/a {" in text


def test_a_template_that_is_not_there_is_said() -> None:
    assert {"main.cf", "master.cf", "dovecot.conf", "sendproof-split"} <= set(wanted.names())
    with pytest.raises(UserError, match="nothing"):
        wanted.rendered("nothing", {})
