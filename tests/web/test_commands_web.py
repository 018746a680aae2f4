import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click.testing
import pytest

from sendproof_core import clock, directory
from sendproof_core.cli import root
from sendproof_core.errors import UserError
from sendproof_core.mail_requests import Letter
from sendproof_testing import own_site, sample_record
from sendproof_testing.own_site import OwnSite
from sendproof_web.commands_web import web

GOOD = "violet tractor under rain"
Run = Callable[..., str]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[OwnSite]:
    """Its clock is the machine's, as that of the commands."""
    with own_site.running(tmp_path, clock.now(), 'sign_up = "invitation"') as made:
        yield made


@pytest.fixture
def sendproof(site: OwnSite) -> Run:
    def run(*arguments: str) -> str:
        root.add_command(web, "web")
        done = click.testing.CliRunner().invoke(root, ["--config", str(site.file.path), "web", *arguments])
        if done.exception is not None:
            raise done.exception
        return done.output

    return run


def test_an_invitation_is_mailed_and_good(site: OwnSite, sendproof: Run) -> None:
    assert sendproof("invite", "nora@nora.example", "--plan", "standard").startswith("invited nora@nora.example; ")
    (letter,) = site.letters()
    path = site.path_in(letter)
    assert (letter.kind, letter.to_address) == (Letter.INVITATION, "nora@nora.example")
    fields = {"login": "nora", "password": GOOD, "repeat": GOOD, "time_zone": "UTC"}
    assert site.visitor().post(path, path, **fields).status_code == 303
    with pytest.raises(UserError, match="no plan"):
        sendproof("invite", "nora@nora.example", "--plan", "golden")


def test_nobody_is_invited_where_nobody_could_come(tmp_path: Path) -> None:
    with own_site.running(tmp_path, sample_record.SENT_AT, 'sign_up = "closed"') as closed:
        root.add_command(web, "web")
        arguments = ["--config", str(closed.file.path), "web", "invite", "n@n.example", "--plan", "standard"]
        done = click.testing.CliRunner().invoke(root, arguments)
        assert isinstance(done.exception, UserError)
        assert "invitation" in str(done.exception)
        assert closed.letters() == []


def test_a_link_for_a_new_password_is_mailed_or_printed(site: OwnSite, sendproof: Run) -> None:
    assert "mailed a link to eva@eva.example" in sendproof("reset-link", "eva")
    assert [letter.kind for letter in site.letters()] == [Letter.RESET]
    with pytest.raises(UserError, match="confirm-address"):
        sendproof("reset-link", "max")
    url = sendproof("reset-link", "max", "--print").strip()
    assert url.startswith("http://127.0.0.1:8025/reset/")
    path = url.removeprefix("http://127.0.0.1:8025")
    visitor = site.visitor()
    assert visitor.post(path, path, password=GOOD, repeat=GOOD).status_code == 303
    assert visitor.sign_in("max", GOOD).status_code == 303
    assert len(site.letters()) == 1


def test_sessions_are_listed_and_ended(site: OwnSite, sendproof: Run) -> None:
    assert sendproof("sessions", "eva") == "eva is signed in nowhere\n"
    visitor = site.visitor("eva")
    assert "127.0.0.1" in sendproof("sessions", "eva")
    assert sendproof("end-sessions", "eva") == "ended 1 session of eva\n"
    assert visitor.get("/messages").status_code == 303
    assert site.audited() == ["sessions ended"]


def test_what_a_browser_calls_itself_does_no_harm_in_a_terminal(site: OwnSite, sendproof: Run) -> None:
    stranger = site.visitor()
    stranger.client.environ_base["HTTP_USER_AGENT"] = "x\x1b[31m\x9b31m"
    stranger.sign_in("eva")
    shown = sendproof("sessions", "eva")
    assert "\x1b" not in shown
    assert "\x9b" not in shown


def test_a_lost_second_factor_is_switched_off(site: OwnSite, sendproof: Run) -> None:
    assert sendproof("second-factor-off", "eva") == "the second factor of eva is off, as before\n"
    with site.database.writing() as session:
        account = directory.find_account(session, "eva")
        account.totp_sealed, account.totp_since = b"sealed", site.now
    visitor = site.visitor("eva")
    assert sendproof("second-factor-off", "eva") == "the second factor of eva is off\n"
    assert visitor.get("/account").status_code == 303  # whoever has the lost phone is not signed in any more
    assert site.account("eva").totp_since is None
    assert [letter.kind for letter in site.letters()] == [Letter.SECOND_FACTOR_CHANGED]


def test_an_operator_can_vouch_for_an_address(site: OwnSite, sendproof: Run) -> None:
    assert sendproof("confirm-address", "max", "max@max.example") == "the site writes to max@max.example about max\n"
    assert site.account("max").address_confirmed_at is not None
    with pytest.raises(UserError, match="no mail address"):
        sendproof("confirm-address", "max", "max")


@pytest.mark.parametrize(
    "arguments", [("reset-link",), ("sessions",), ("end-sessions",), ("second-factor-off",), ("confirm-address",)]
)
def test_an_account_that_does_not_exist_is_said(sendproof: Run, arguments: tuple[str, ...]) -> None:
    address = ("x@y.example",) if arguments == ("confirm-address",) else ()
    with pytest.raises(UserError, match="no account 'nobody'"):
        sendproof(*arguments, "nobody", *address)


def test_other_commands_do_not_wait_for_the_site_to_load() -> None:
    script = "import sys, sendproof_web.commands_web; sys.exit('flask' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
