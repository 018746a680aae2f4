from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sendproof_postfix import configuration, decisions, wanted
from sendproof_postfix.configuration import Configuration
from sendproof_postfix.decisions import Decision, Surroundings
from sendproof_postfix.settings import PostfixSettings
from sendproof_postfix.steps import SetMain, SetOption, SetService
from sendproof_postfix.wanted import Place

SETTINGS = PostfixSettings(tls_certificate=Path("/tls/c.pem"), tls_key=Path("/tls/k.pem"))
MILTER = "/queue/sendproof/milter.sock"
AROUND = Surroundings(
    ports={"submission": 587, "submissions": 465, "smtps": 465, "smtp": 25},
    milter_socket=MILTER,
    queue_directory="/queue",
)
DEFAULTS = {
    "mail_version": "3.7.11",
    "compatibility_level": "3.6",
    "enable_long_queue_ids": "no",
    "smtp_tls_loglevel": "0",
    "cleanup_service_name": "cleanup",
    "inet_protocols": "all",
    "smtpd_sasl_auth_enable": "no",
    "smtpd_sasl_type": "cyrus",
    "smtpd_sasl_path": "smtpd",
    "smtpd_relay_restrictions": "permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination",
}
MASTER = [
    "smtp inet n - y - - smtpd",
    "cleanup unix n - y - 0 cleanup",
    "smtp unix - - y - - smtp",
    "relay unix - - y - - smtp -o syslog_name=postfix/$service_name",
]
LOGIN = "-o smtpd_sasl_auth_enable=yes -o smtpd_relay_restrictions=permit_sasl_authenticated,reject"
Decide = Callable[..., Decision]


def decide(
    *more: str, main: dict[str, str] | None = None, around: Surroundings = AROUND, settings: PostfixSettings = SETTINGS
) -> Decision:
    found = {one.key: one for one in map(configuration.service, [*MASTER, *more])}
    values = DEFAULTS | (main or {})
    known = Configuration(main or {}, found, values, values)
    place = Place(
        config_directory=Path("/etc/postfix"),
        milter_socket="sendproof/milter.sock",
        cleanup_service=decisions.cleanup_service(known),
    )
    return decisions.decide(known, wanted.wanted(settings, place), settings, around)


def options(decision: Decision, key: str) -> dict[str, str | None]:
    return {step.name: step.after for step, _ in decision.steps if isinstance(step, SetOption) and step.key == key}


def added(decision: Decision) -> dict[str, dict[str, str]]:
    steps = [step for step, _ in decision.steps if isinstance(step, SetService)]
    return {step.key: configuration.service(step.after or "").options for step in steps}


def places(decision: Decision, *, fatal: bool) -> list[str]:
    return [one.where for one in decision.conflicts if one.fatal is fatal]


def test_a_stock_postfix_gets_our_services_and_two_lines_of_main_cf() -> None:
    found = decide()
    assert found.conflicts == ()
    assert found.uses_dovecot
    assert {step.name for step, _ in found.steps if isinstance(step, SetMain)} == {
        "enable_long_queue_ids",
        "sendproof-split_destination_recipient_limit",
    }
    assert added(found).keys() == {
        "submission/inet",
        "submissions/inet",
        "sendproof-split/unix",
        "127.0.0.1:10026/inet",
        "sendproof-cleanup/unix",
    }
    assert options(found, "smtp/unix")["debug_peer_level"] == "1"


def test_the_service_that_takes_mail_from_other_servers_is_not_touched() -> None:
    touched = [step for step, _ in decide().steps if not isinstance(step, SetMain) and step.key == "smtp/inet"]
    assert touched == []


@pytest.mark.parametrize(
    ("main", "fatal"),
    [
        ({"enable_long_queue_ids": "no"}, False),
        ({"sendproof-split_destination_recipient_limit": "50"}, True),
    ],
)
def test_what_the_operator_set_otherwise_in_main_cf_is_left_to_him(main: dict[str, str], fatal: bool) -> None:
    found = decide(main=main)
    assert set(main) & {step.name for step, _ in found.steps if isinstance(step, SetMain)} == set()
    assert places(found, fatal=fatal) == list(main)


def test_an_option_that_stands_on_a_transport_stays() -> None:
    found = decide("smtp unix - - y - - smtp -o debug_peer_level=4 -o smtp_tls_security_level=dane")
    assert "debug_peer_level" not in options(found, "smtp/unix")
    assert "smtp_tls_security_level" not in options(found, "smtp/unix")
    assert places(found, fatal=False) == ["smtp/unix/debug_peer_level"]


@pytest.mark.parametrize("name", ["smtp_tls_security_level", "smtp_use_tls", "smtp_enforce_tls"])
def test_tls_of_outgoing_mail_is_set_only_where_nothing_says_anything(name: str) -> None:
    assert options(decide(), "smtp/unix")["smtp_tls_security_level"] == "may"
    assert "smtp_tls_security_level" not in options(decide(main={name: ""}), "smtp/unix")


def test_a_higher_log_level_of_tls_is_kept() -> None:
    assert "smtp_tls_loglevel" not in options(decide(main={"smtp_tls_loglevel": "2"}), "smtp/unix")


def test_a_transport_that_is_not_there_or_no_smtp_is_named() -> None:
    settings = replace(SETTINGS, transports=("smtp", "cleanup", "slow"))
    found = decide(settings=settings)
    assert places(found, fatal=False) == ["cleanup/unix", "slow/unix"]
    assert options(found, "relay/unix") == {}


# Submission services that are there


def test_a_service_that_requires_a_login_is_extended_and_no_other_is_added() -> None:
    theirs = f"submission inet n - y - - smtpd {LOGIN} -o smtpd_milters=inet:a -o milter_macro_daemon_name=ORIGINATING"
    found = decide(theirs)
    extended = options(found, "submission/inet")
    assert str(extended["smtpd_milters"]).startswith("inet:a,{unix:sendproof/milter.sock,default_action=tempfail,")
    assert extended["cleanup_service_name"] == "sendproof-cleanup"
    assert "milter_macro_daemon_name" not in extended
    assert "submission/inet" not in added(found)
    assert places(found, fatal=True) == []
    assert places(found, fatal=False) == ["submission/inet/smtpd_milters", "submission/inet/smtpd_sasl_path"]


def test_the_milters_of_main_cf_stay_before_ours() -> None:
    main = {"smtpd_milters": "inet:a, { inet:b, connect_timeout=3s }"}
    extended = options(decide(f"587 inet n - n - - smtpd {LOGIN}", main=main), "587/inet")
    assert str(extended["smtpd_milters"]).startswith("inet:a,{inet:b,connect_timeout=3s},{unix:sendproof/milter.sock,")
    assert extended["milter_macro_daemon_name"] == "submission"


@pytest.mark.parametrize("name", ["smtps", "465", "192.0.2.1:smtps", "submissions", "[2001:db8::1]:465"])
def test_a_service_is_known_by_its_port_however_it_is_written(name: str) -> None:
    found = decide(f"{name} inet n - n - - smtpd {LOGIN}")
    assert "smtpd_milters" in options(found, f"{name}/inet")
    assert "submissions/inet" not in added(found)


def test_our_milter_that_is_there_already_stands_there_once() -> None:
    for path in (MILTER, "sendproof/milter.sock"):
        theirs = f"submission inet n - n - - smtpd {LOGIN} -o smtpd_milters=unix:{path},inet:b"
        value = str(options(decide(theirs), "submission/inet")["smtpd_milters"])
        assert value.count("milter.sock") == 1
        assert value.startswith("{unix:sendproof/milter.sock,")
        assert value.endswith("},inet:b")


@pytest.mark.parametrize(
    ("service", "main", "where"),
    [
        ("-o smtpd_tls_security_level=may", {}, "submission/inet/smtpd_sasl_auth_enable"),
        ("-o smtpd_sasl_auth_enable=yes", {}, "submission/inet/smtpd_relay_restrictions"),
        (f"{LOGIN} -o smtpd_proxy_filter=127.0.0.1:10024", {}, "submission/inet/smtpd_proxy_filter"),
        (LOGIN, {"smtpd_milter_maps": "cidr:/x"}, "submission/inet/smtpd_milter_maps"),
        (LOGIN, {"receive_override_options": "no_milters"}, "submission/inet/receive_override_options"),
        (f"{LOGIN} -o cleanup_service_name=gone", {}, "gone/unix"),
        (
            f"{LOGIN} -o receive_override_options=no_address_mappings",
            {"virtual_alias_maps": "hash:/a"},
            "submission/inet/receive_override_options",
        ),
    ],
)
def test_a_service_that_cannot_be_extended_is_a_conflict_with_its_parameter(
    service: str, main: dict[str, str], where: str
) -> None:
    found = decide(f"submission inet n - n - - smtpd {service}", main=main)
    assert places(found, fatal=True) == [where]


def test_a_login_that_is_only_allowed_is_not_required() -> None:
    for value in ("permit_mynetworks,permit_sasl_authenticated,reject", "permit_sasl_authenticated"):
        service = f"submission inet n - n - - smtpd -o smtpd_sasl_auth_enable=yes -o smtpd_client_restrictions={value}"
        assert places(decide(service), fatal=True) == ["submission/inet/smtpd_relay_restrictions"]


@pytest.mark.parametrize(("column", "level", "fatal"), [("y", "3.6", True), ("-", "3.6", False), ("-", "0", True)])
def test_a_chroot_needs_the_milters_socket_inside(column: str, level: str, fatal: bool) -> None:
    outside = replace(AROUND, socket_in_queue=False, milter_socket="/run/sendproof/milter.sock")
    service = f"submission inet n - {column} - - smtpd {LOGIN}"
    found = decide(service, main={"compatibility_level": level}, around=outside)
    assert places(found, fatal=True) == (["[milter] socket"] if fatal else [])
    assert "/queue/sendproof/milter.sock" in {one.needed for one in found.conflicts} or not fatal


def test_another_port_gives_a_service_of_our_own_beside_the_operators() -> None:
    settings = replace(SETTINGS, submission_port="10587")
    found = decide("submission inet n - n - - smtpd", settings=settings)
    assert "10587/inet" in added(found)
    assert options(found, "submission/inet") == {}
    assert found.fatal == ()


# The rest


def test_cleanup_is_a_copy_of_the_operators() -> None:
    service = "cleanup unix n - n - 0 cleanup -o header_checks=regexp:/a -o milter_header_checks=regexp:/b"
    copy = added(decide(service, main={"milter_header_checks": "regexp:/c"}))["sendproof-cleanup/unix"]
    assert copy["header_checks"] == "regexp:/a"
    assert copy["milter_header_checks"] == "regexp:/b, regexp:/etc/postfix/sendproof-split"
    copy = added(decide(main={"milter_header_checks": "regexp:/c"}))["sendproof-cleanup/unix"]
    assert copy["milter_header_checks"] == "regexp:/c, regexp:/etc/postfix/sendproof-split"


def test_another_cleanup_service_is_copied_under_its_name() -> None:
    found = decide("pre unix n - n - 0 cleanup", main={"cleanup_service_name": "pre"})
    assert "sendproof-pre/unix" in added(found)
    assert added(found)["submission/inet"]["cleanup_service_name"] == "sendproof-pre"


def test_milters_switched_off_in_main_cf_are_on_for_our_services() -> None:
    found = decide(main={"receive_override_options": "no_milters, no_address_mappings"})
    assert added(found)["submission/inet"]["receive_override_options"] == "no_address_mappings"


@pytest.mark.parametrize(
    ("main", "named"),
    [
        ({"receive_override_options": "no_address_mappings", "always_bcc": "all@a.example"}, True),
        ({"receive_override_options": "no_address_mappings"}, False),
        ({"always_bcc": "all@a.example"}, False),
    ],
)
def test_addresses_that_would_never_be_mapped_are_named(main: dict[str, str], named: bool) -> None:
    found = decide(main=main)
    assert places(found, fatal=False) == (["receive_override_options"] if named else [])
    assert found.fatal == ()


def test_what_main_cf_asks_of_clients_and_our_own_services_do_not_is_named_once() -> None:
    main = {"smtpd_milters": "inet:a", "smtpd_sender_restrictions": "check_sender_access hash:/a"}
    found = decide(main=main)
    assert "submissions/inet" in added(found)
    assert places(found, fatal=False) == list(main)
    theirs = [f"{port} inet n - n - - smtpd {LOGIN} -o smtpd_sasl_path=private/sendproof-auth" for port in (587, 465)]
    assert places(decide(*theirs, main={"smtpd_sender_restrictions": "reject"}), fatal=False) == []


def test_a_transport_that_signs_in_logs_no_conversation() -> None:
    main = {"relayhost": "[smarthost.example]:587", "smtp_sasl_auth_enable": "Yes"}
    found = decide("relay unix - - y - - smtp -o smtp_sasl_auth_enable=no", main=main)
    kept_quiet = {"debug_peer_list", "debug_peer_level", "smtp_tls_session_cache_database"}
    assert kept_quiet & options(found, "smtp/unix").keys() == set()
    assert options(found, "smtp/unix")["disable_mime_output_conversion"] == "yes"
    assert options(found, "relay/unix")["debug_peer_level"] == "1"
    assert [(one.where, one.found, one.needed, one.fatal) for one in found.conflicts] == [
        ("smtp/unix/smtp_sasl_auth_enable", "yes", "no", False)
    ]
    assert "is not logged" in found.conflicts[0].why


def test_a_transport_that_signs_in_and_logs_its_conversation_is_named() -> None:
    main = {"smtp_sasl_auth_enable": "yes", "debug_peer_list": "smarthost.example"}
    found = decide("relay unix - - y - - smtp -o smtp_sasl_auth_enable=no", main=main)
    (conflict,) = found.conflicts
    assert (conflict.where, conflict.found, conflict.fatal) == ("smtp/unix/debug_peer_list", "smarthost.example", False)
    assert "with the password" in conflict.why


@pytest.mark.parametrize(
    ("change", "main", "where"),
    [
        ({"around": replace(AROUND, taken={"submission": "why"})}, {}, "[postfix] submission_port"),
        ({"around": replace(AROUND, taken={"127.0.0.1:10026": "why"})}, {}, "[postfix] resubmit_port"),
        ({}, {"inet_protocols": "ipv6"}, "inet_protocols"),
        ({"settings": PostfixSettings()}, {}, "smtpd_tls_cert_file"),
        ({"around": replace(AROUND, dovecot_version="2.4.1-4 (7d8c0e5759)")}, {}, "dovecot"),
        ({}, {"mail_version": "3.4.1"}, "mail_version"),
        ({}, {"mail_version": "four"}, "mail_version"),
        ({}, {"cleanup_service_name": "gone"}, "gone/unix"),
    ],
)
def test_what_cannot_work_stops_everything(change: dict[str, Any], main: dict[str, str], where: str) -> None:
    assert where in places(decide(main=main, **change), fatal=True)


def test_a_port_of_the_operators_is_not_taken_for_copies() -> None:
    assert places(decide("127.0.0.1:10026 inet n - n - - smtpd"), fatal=True) == ["[postfix] resubmit_port"]


def test_every_known_release_gets_the_same() -> None:
    releases = ["3.5.0", "3.6.4", "3.7.11", "3.8.6", "3.9.1", "3.10.2"]
    assert len({decide(main={"mail_version": text}).steps for text in releases}) == 1
    assert places(decide(main={"mail_version": "3.11.0"}), fatal=False) == ["mail_version"]


def test_filters_that_stand_in_mails_way_are_named() -> None:
    main = {"content_filter": "amavis:[127.0.0.1]:10024", "smtp_tls_connection_reuse": "yes"}
    assert set(places(decide(main=main), fatal=False)) == set(main)


def test_what_is_there_is_not_set_again() -> None:
    first = decide()
    services = [step.after for step, _ in first.steps if isinstance(step, SetService) and step.after]
    main = {step.name: step.after for step, _ in first.steps if isinstance(step, SetMain) and step.after}
    transports = [
        configuration.service(line)
        for line in ("smtp unix - - y - - smtp", "relay unix - - y - - smtp -o syslog_name=postfix/$service_name")
    ]
    for name, value in options(first, "smtp/unix").items():
        transports = [one.with_option(name, value) for one in transports]
    again = decide(*services, *(one.line for one in transports), main=main)
    assert [step for step, _ in again.steps] == []
    assert again.uses_dovecot
