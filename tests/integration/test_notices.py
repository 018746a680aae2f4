"""Notices in real mailboxes: each once, whatever is killed; a greylisted mail's story from delay to delivery."""

import email.message
import functools
import itertools
import os
import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import select

from sendproof_core import clock, notice_choices
from sendproof_core.database import Database
from sendproof_core.mail_requests import Letter, ask
from sendproof_core.notice_choices import NoticeChoices
from sendproof_core.schema import Account, Notice
from sendproof_core.states import Digest, NoticeState
from sendproof_testing import letters, mail
from sendproof_testing.installation import ACCEPT, GREYLIST, REFUSE, Options
from sendproof_testing.sandbox import Sandbox, running

pytestmark = pytest.mark.integration

# More of them, to look for what is rare: SENDPROOF_KILL_ROUNDS=200.
ROUNDS = int(os.environ.get("SENDPROOF_KILL_ROUNDS", "15"))
LETTERS_A_ROUND = 3
# A lease that ends while somebody watches; kills come at any moment of a submission, which takes about 0.1 s.
LEASE_SECONDS = 5
_LONGEST_LIFE_SECONDS = 0.3
_PROGRAM = [sys.executable, "-c", "from sendproof_notices.cli import main; main()", "--config"]


@dataclass(frozen=True)
class Daemon:
    """A daemon of the test's own, and its log."""

    process: subprocess.Popen[bytes]
    log: Path

    def has_started(self) -> bool | None:
        """None: not yet."""
        return b"event=started" in self.log.read_bytes() or None


def impatient_config(sandbox: Sandbox) -> Path:
    """The sandbox's settings with a short lease and short pauses."""
    path = sandbox.installation.home / "impatient.toml"
    text = sandbox.installation.config.read_text(encoding="utf-8")
    before, table, after = text.partition("[notices]\n")
    after = after.replace("poll_seconds = 1\n", f"poll_seconds = 0.1\nlease_seconds = {LEASE_SECONDS}\n", 1)
    path.write_text(before + table + after, encoding="utf-8")
    path.chmod(0o600)
    return path


def prefer(database: Database, login: str, **chosen: bool) -> None:
    usual = {"delivered": False, "deferred": False, "failed": False, "opened": False, "plan_use": False, **chosen}
    with database.writing() as session:
        account_id = session.scalars(select(Account.id).where(Account.login == login)).one()
        choices = NoticeChoices(deferred_after_minutes=1, digest=Digest.NONE, **usual)
        notice_choices.save(session, account_id, choices, clock.now())


def states(database: Database) -> Counter[str]:
    with database.reading() as session:
        return Counter(session.scalars(select(Notice.state)).all())


def is_busy(database: Database, asked: int) -> bool | None:
    """Whether a daemon is sending, or (nobody was looking) has sent what was asked for."""
    found = states(database)
    return bool(found[NoticeState.CLAIMED]) or found[NoticeState.SENT] >= asked or None


def text_of(letter: email.message.EmailMessage) -> str:
    return " ".join(letters.text(letter).split())


def test_killed_between_any_two_steps_two_daemons_send_each_notice_exactly_once(own_folder: Path) -> None:
    chance = random.Random(20261122)
    with running(own_folder) as sandbox:
        sandbox.programs["notices"].end()
        config, database = impatient_config(sandbox), sandbox.database()
        prefer(database, sandbox.installation.login.login, failed=True)
        address = f"reader@{ACCEPT}"
        asked = 0
        numbers = itertools.count(1)

        def start() -> Daemon:
            log = sandbox.installation.home / "log" / f"killed-{next(numbers)}.out"
            with log.open("wb") as output:
                process = subprocess.Popen([*_PROGRAM, config], stdout=output, stderr=output, stdin=subprocess.DEVNULL)
            return Daemon(process, log)

        daemons = [start(), start()]
        mail.submit(sandbox, [f"nobody{number}@{REFUSE}" for number in range(3)], subject="Refused three times")
        try:
            for _ in range(ROUNDS):
                for daemon in daemons:
                    mail.wait_until(daemon.has_started, 30, "the daemon to start")
                with database.writing() as session:
                    for _ in range(LETTERS_A_ROUND):
                        asked += 1
                        data = {"logins": [f"letter-{asked}-"]}
                        ask(session, Letter.LOGINS, to_address=address, now=clock.now(), data=data)
                mail.wait_until(functools.partial(is_busy, database, asked), 30, "a daemon to send")
                time.sleep(chance.uniform(0, _LONGEST_LIFE_SECONDS))
                victim = chance.randrange(2)
                daemons[victim].process.kill()
                daemons[victim].process.wait()
                daemons[victim] = start()

            def all_done() -> Counter[str] | None:
                found = states(database)
                is_done = not found[NoticeState.WAITING] and not found[NoticeState.CLAIMED]
                return found if is_done and found[NoticeState.SENT] > asked else None

            done = mail.wait_until(all_done, 120, "every notice to be sent")
        finally:
            for daemon in daemons:
                daemon.process.kill()
                daemon.process.wait()
        assert set(done) == {NoticeState.SENT}, done

        def told() -> Counter[int]:
            found = [text_of(letter) for letter in letters.letters(sandbox, address)]
            return Counter(
                number for number in range(1, asked + 1) for text in found if f"letter-{number}- " in f"{text} "
            )

        mail.wait_until(lambda: len(told()) == asked or None, 60, "every letter to arrive")
        time.sleep(2)  # a second copy would come as quickly
        assert told() == Counter(range(1, asked + 1))
        failed = [
            address
            for letter in letters.letters(sandbox, sandbox.installation.login.address)
            for address in range(3)
            # Postfix returns the message as well.
            if letter["Message-ID"].startswith("<notice.") and f"nobody{address}@{REFUSE}" in letters.text(letter)
        ]
        assert Counter(failed) == Counter(range(3))
        database.close()


def test_a_greylisted_mail_is_told_as_delayed_then_as_delivered_after_all(own_folder: Path) -> None:
    recipient = f"anna.greylisted@{GREYLIST}"
    patient = Options(greylist_seconds=75, minimal_backoff_seconds=20, maximal_backoff_seconds=20)
    with running(own_folder, patient) as sandbox:
        database, reader = sandbox.database(), sandbox.installation.login
        prefer(database, reader.login, deferred=True)
        mail.submit(sandbox, [recipient], subject="Offer to a greylister")
        delayed = letters.wait_for(sandbox, reader.address, "Delayed, to", seconds=150)
        said = text_of(delayed)
        assert delayed["Subject"] == f"Delayed, to {recipient}: Offer to a greylister"
        assert delayed["Auto-Submitted"] == "auto-generated"
        assert f"has not been delivered yet to {recipient}" in said
        assert "it asks every sender that it does not know to come back once" in said
        assert "That is usual. Nothing is wrong, and you need not do anything." in said
        assert "We give up:" in said
        arrived = letters.wait_for(sandbox, reader.address, "Delivered after all", seconds=150)
        said = text_of(arrived)
        assert arrived["Subject"] == f"Delivered after all to {recipient}: Offer to a greylister"
        assert "It was greylisted first" in said
        assert f"{sandbox.installation.web_url}/messages/" in said
        assert "<script" not in letters.html(arrived)
        # Nothing else was told, and notices themselves cause none.
        assert len(list(letters.letters(sandbox, reader.address))) == 2
        with database.reading() as session:
            assert session.scalars(select(Notice.kind).order_by(Notice.id)).all() == ["deferred", "delivered"]
        database.close()
