from pathlib import Path
from typing import Any

import pytest

from sendproof_core.errors import UserError
from sendproof_core.settings import SettingsFile
from sendproof_postfix.settings import PostfixSettings


def settings(**given: Any) -> PostfixSettings:
    return SettingsFile(Path("sendproof.toml"), {"postfix": given}).table(PostfixSettings)


def test_a_debian_postfix_needs_no_setting() -> None:
    found = settings()
    assert found.config_directory == Path("/etc/postfix")
    assert (found.submission_port, found.submissions_port, found.transports) == (
        "submission",
        "submissions",
        ("smtp", "relay"),
    )


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"tls_certificate": "/a.pem"}, "tls_key"),
        ({"submission_port": "587 -o content_filter="}, "submission_port"),
        ({"submissions_port": "587\n"}, "submissions_port"),
        ({"submission_port": "587", "submissions_port": "587"}, "must differ"),
        ({"transports": ["smtp", "a b"]}, "transports"),
        ({"transports": ["${x}"]}, "transports"),
        ({"sasl_socket": "/run/auth"}, "sasl_socket"),
        ({"sasl_socket": "private/../../auth"}, "sasl_socket"),
        ({"tls_certificate": "/a b.pem", "tls_key": "/k"}, "tls_certificate"),
        ({"dovecot_config": "dovecot.conf"}, "dovecot_config"),
        ({"resubmit_port": 0}, "resubmit_port"),
        ({"tls_policy": "maybe"}, "tls_policy"),
        ({"port": 1}, "'port'"),
    ],
)
def test_a_setting_that_cannot_stand_in_master_cf_is_named(given: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named):
        settings(**given)
