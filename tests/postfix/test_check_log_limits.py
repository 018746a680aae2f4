"""journald.conf and rsyslog.conf, as far as lines of mail are concerned."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_postfix import check_log_limits
from sendproof_postfix.check_log_limits import Limit

DEBIAN = """\
module(load="imuxsock") # provides support for local system logging
module(load="imklog")   # provides kernel logging support
$FileOwner root
*.*;auth,authpriv.none\t\t-/var/log/syslog
auth,authpriv.*\t\t\t/var/log/auth.log
#mail.*\t\t\t\t-/var/log/old.log
mail.*\t\t\t\t-/var/log/mail.log
*.emerg\t\t\t\t:omusrmsg:*
"""


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("", Limit(30, 10_000)),
        ("[Journal]\n#RateLimitBurst=5\n", Limit(30, 10_000)),
        ("[Journal]\nRateLimitBurst=500\nRateLimitIntervalSec=1min 30s\n", Limit(90, 500)),
        ("[Journal]\nRateLimitIntervalSec=0\n", None),
        ("[Journal]\nRateLimitBurst=0\n", None),
        ("[Other]\nRateLimitBurst=7\n", Limit(30, 10_000)),
        # A drop-in comes after the file, and the last one counts; an empty value is the default again.
        ("[Journal]\nRateLimitBurst=7\n# /etc/x.conf\n[Journal]\nRateLimitBurst=\n", Limit(30, 10_000)),
        ("[Journal]\nRateLimitIntervalSec=rubbish\nRateLimitBurst=many\n", Limit(30, 10_000)),
    ],
)  # fmt: skip
def test_the_journals_limit_is_that_of_all_its_files(text: str, limit: Limit | None) -> None:
    assert check_log_limits.journald_limit(text) == limit


def test_debians_rsyslog_throws_nothing_away_and_writes_mail_to_two_files() -> None:
    assert check_log_limits.rsyslog_limits(DEBIAN) == {}
    assert check_log_limits.rsyslog_mail_files(DEBIAN) == ("/var/log/syslog", "/var/log/mail.log")


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ('module(load="imjournal")', {"imjournal": Limit(600, 20_000)}),
        ('module(load="imjournal"\n  Ratelimit.Interval="0")', {}),
        ('module(load="imuxsock" RateLimit.Interval="5" RateLimit.Burst="100")', {"imuxsock": Limit(5, 100)}),
        ("$SystemLogRateLimitInterval 5", {"imuxsock": Limit(5, 200)}),
        ("$SystemLogRateLimitInterval 0", {}),
        ('#module(load="imjournal")', {}),
        ('module(load="imjournal" Ratelimit.Interval="soon")', {"imjournal": Limit(600, 20_000)}),
    ],
)  # fmt: skip
def test_rsyslogs_limits_are_those_of_its_inputs(text: str, limits: dict[str, Limit]) -> None:
    assert check_log_limits.rsyslog_limits(text) == limits


@pytest.mark.parametrize(
    ("selector", "takes"),
    [
        ("mail.*", True),
        ("*.*", True),
        ("*.debug", True),
        ("*.*;mail.none", False),
        ("*.*;auth,authpriv.none", True),
        ("mail.err", False),
        ("auth,mail.*", True),
        ("cron.*", False),
        ("mail.=info", False),
    ],
)
def test_a_selector_takes_all_mail_or_not(selector: str, takes: bool) -> None:
    assert check_log_limits.takes_all_mail(selector) is takes


def test_actions_of_the_newer_form_are_files_too() -> None:
    text = 'mail.* action(type="omfile" file="/var/log/postfix.log" template="x")\n'
    assert check_log_limits.rsyslog_mail_files(text) == ("/var/log/postfix.log",)


@given(st.text())
def test_whatever_stands_there_is_read_or_passed_over(text: str) -> None:
    check_log_limits.journald_limit(f"[Journal]\n{text}")
    check_log_limits.rsyslog_limits(text)
    check_log_limits.rsyslog_mail_files(text)
    check_log_limits.span_seconds(text)
