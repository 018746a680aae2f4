import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from sendproof_core.errors import UserError
from sendproof_postfix import apply as applying
from sendproof_postfix import postconf
from sendproof_postfix.configuration import Configuration
from sendproof_postfix.plan import Instance
from sendproof_postfix.steps import SetOption
from sendproof_testing.operators_postfix import CORPUS, Operators, OperatorsPostfix

Make = Callable[[str], OperatorsPostfix]


def apply(instance: Instance) -> applying.Done:
    return applying.apply(instance, reload=False)


def revert(instance: Instance) -> applying.Done:
    return applying.revert(instance, reload=False)


def read(made: OperatorsPostfix) -> Configuration:
    postconf.age(made.directory)
    return postconf.read(made.directory)


@pytest.mark.integration  # of the whole corpus: half a minute
@pytest.mark.parametrize("name", CORPUS)
def test_what_operators_have_is_extended_once_kept_and_given_back_octet_for_octet(operators: Make, name: str) -> None:
    made = operators(name)
    before, old = made.tree(), postconf.read(made.directory)
    assert apply(made.instance).changed
    applied, new = made.tree(), postconf.read(made.directory)
    assert {key: new.explicit.get(key) for key in old.explicit} == old.explicit
    for key, service in old.services.items():
        kept = {option: new.services[key].options.get(option) for option in service.options}
        changed = {option for option in kept if kept[option] != service.options[option]}
        assert changed <= {"smtpd_milters", "cleanup_service_name"}
        assert (new.services[key].fields, new.services[key].command) == (service.fields, service.command)
    assert not apply(made.instance).changed
    assert made.tree() == applied
    assert revert(made.instance).changed
    assert made.tree() == before
    assert not (made.folder / "state").exists()
    assert not revert(made.instance).changed


@pytest.mark.integration
@settings(max_examples=8, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(
    main=st.dictionaries(
        st.sampled_from(["relayhost", "smtp_helo_name", "milter_header_checks", "smtpd_banner", "delay_warning_time"]),
        st.sampled_from(["", "1", "[192.0.2.1]:25", "a,\n\tb", "$myhostname", "{ x y }"]),
    ),
    master=st.lists(
        st.sampled_from(
            [
                "# words\n",
                "\n",
                "extra unix - - n - - smtp\n",
                "  -o smtp_helo_name=x\n",
                "1587\tinet n - - - - smtpd # no\n",
                "  -o { smtpd_banner = a b }\n",
            ]
        ),
        max_size=5,
    ),
)
def test_whatever_they_have_it_comes_back(
    tmp_path_factory: pytest.TempPathFactory, queue: Path, main: dict[str, str], master: list[str]
) -> None:
    text = "".join(f"{name}={value}\n" for name, value in main.items())
    made = OperatorsPostfix(
        tmp_path_factory.mktemp("any"), Operators(text, "end unix - - n - - smtp\n" + "".join(master)), queue
    )
    before = made.tree()
    try:
        apply(made.instance)
    except UserError:  # it was broken before, or we may not
        assert made.tree() == before
        return
    assert not apply(made.instance).changed
    revert(made.instance)
    assert made.tree() == before


def test_edits_since_stay_when_ours_is_taken_back(operators: Make) -> None:
    made = operators("opendkim")
    old = read(made)
    apply(made.instance)
    with (made.directory / "main.cf").open("a") as main:
        main.write("# The operator's.\ndelay_warning_time = 4h\n")
    with (made.directory / "master.cf").open("a") as master:
        master.write("slow unix - - n - 1 smtp\n")
    assert not apply(made.instance).changed
    done = revert(made.instance)
    new = read(made)
    assert dict(new.explicit) == {**old.explicit, "delay_warning_time": "4h"}
    assert new.services.keys() - old.services.keys() == {"slow/unix"}
    assert {key: new.services[key] for key in old.services} == old.services
    assert "# The operator's." in (made.directory / "main.cf").read_text()
    assert done.notes == tuple(
        f"{name} was edited since: settings are taken back one by one." for name in ("master.cf", "main.cf")
    )
    assert not (made.directory / "sendproof-split").exists()


def test_a_setting_of_ours_that_was_taken_away_since_comes_back_with_apply(operators: Make) -> None:
    made = operators("stock")
    apply(made.instance)
    postconf.edit(made.directory, [SetOption("smtp/unix", "debug_peer_list", "", None)])
    done = apply(made.instance)
    assert done.plan
    assert [one.where for one in done.plan.changes] == ["master.cf smtp/unix/debug_peer_list"]


def test_other_settings_take_the_place_of_the_former(operators: Make) -> None:
    made = operators("stock")
    before = made.tree()
    apply(made.instance)
    other = made.with_settings(submission_port="10587", submissions_port="", transports=("smtp",))
    assert apply(other).changed
    found = read(made)
    assert "submission/inet" not in found.services
    assert "10587/inet" in found.services
    assert "debug_peer_list" not in found.services["relay/unix"].options
    revert(other)
    assert made.tree() == before


def test_what_stands_in_the_way_stops_everything(operators: Make) -> None:
    made = operators("stock")
    (made.directory / "master.cf").write_text(
        (made.directory / "master.cf").read_text() + "submission inet n - n - - smtpd\n"
    )
    before = made.tree()
    with pytest.raises(applying.Blocked, match="submission/inet/smtpd_sasl_auth_enable"):
        apply(made.instance)
    assert made.tree() == before
    assert not (made.folder / "state").exists()


def test_a_folder_that_cannot_be_written_changes_nothing(operators: Make) -> None:
    made = operators("stock")
    before = made.tree()
    blocked = made.with_settings(dovecot_config=made.folder / "none" / "dovecot.conf")
    with pytest.raises(UserError, match=r"none/dovecot\.conf.* cannot be written"):
        apply(blocked)
    assert made.tree() == before
    assert not (made.folder / "state").exists()


def test_two_instances_share_our_dovecot(operators: Make, tmp_path: Path) -> None:
    first = operators("stock")
    (tmp_path / "second").mkdir()
    second = OperatorsPostfix(tmp_path / "second", CORPUS["stock"], tmp_path / "second" / "queue2")
    other = replace(
        first.with_settings(submission_port="10587", submissions_port="", resubmit_port=10027),
        config_directory=second.directory,
    )
    before = first.tree()
    apply(first.instance)
    apply(other)
    dovecot = first.instance.settings.dovecot_config
    assert dovecot.read_text().count("unix_listener") == 2
    assert not apply(first.instance).changed
    revert(first.instance)
    assert f"unix_listener {second.queue}/" in dovecot.read_text()
    assert dovecot.read_text().count("unix_listener") == 1
    revert(other)
    assert first.tree() == before


def test_a_file_of_the_operators_that_stands_in_our_dovecots_place_stays(operators: Make) -> None:
    made = operators("stock")
    before = made.tree()
    apply(made.instance)
    theirs = made.folder / "dovecot-operators.conf"
    theirs.write_text("protocols = imap\n")
    assert revert(made.with_settings(dovecot_config=theirs)).changed
    assert theirs.read_text() == "protocols = imap\n"
    theirs.unlink()
    assert made.tree() == before
    apply(made.instance)
    ours = made.instance.settings.dovecot_config
    ours.write_text("protocols = imap\n")
    assert any(str(ours) in note for note in revert(made.instance).notes)
    assert ours.read_text() == "protocols = imap\n"


def test_our_dovecots_file_goes_where_the_settings_name_another(operators: Make) -> None:
    made = operators("stock")
    before = made.tree()
    apply(made.instance)
    moved = made.with_settings(dovecot_config=made.folder / "moved.conf")
    assert apply(moved).changed
    assert not made.instance.settings.dovecot_config.exists()
    assert not apply(moved).changed
    revert(moved)
    assert made.tree() == before


def test_a_copy_of_a_service_that_was_extended_is_named_when_ours_is_taken_back(operators: Make) -> None:
    made = operators("submission")
    apply(made.instance)
    text = (made.directory / "master.cf").read_text()
    (made.directory / "master.cf").write_text(text.replace("\nsubmission ", "\n2587 "))
    assert [note for note in apply(made.instance).notes if "2587/inet still" in note] == []
    (named,) = [note for note in revert(made.instance).notes if "2587/inet still" in note]
    assert "cleanup_service_name=sendproof-cleanup" in named
    assert "smtpd_milters={unix:sendproof/milter.sock" in named


def test_only_root_may_apply(operators: Make) -> None:
    made = operators("stock")
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        try:
            apply(made.instance)
        except UserError as error:
            os._exit(0 if "only root" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# What the interpreter tells of before it does it: a process can be killed in front of each.
_DEEDS = frozenset({"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"})
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def killed_at(deed: int, work: Callable[[Instance], object], made: OperatorsPostfix) -> bool:
    """Do it in a process that is killed before it changes something for the n-th time; whether it was killed."""
    child = os.fork()
    if child == 0:
        count = 0

        def watch(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal count
            where = str(arguments[:2])
            if event not in _DEEDS or str(made.folder) not in where or "/work-" in where:
                return
            if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & _WRITING):
                return
            count += 1
            if count == deed:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        try:
            work(made.instance)
        except BaseException:  # noqa: BLE001 - a child must not come back into the test
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status != 0


def let_it_look_old(made: OperatorsPostfix) -> None:
    """Postfix waits until a file has not changed for two seconds."""
    for path in made.directory.iterdir():
        if path.stat().st_mtime > 1_750_000_000:
            os.utime(path, (1_750_000_000, 1_750_000_000))


class Snapshot:
    """Postfix's folder, the state and Dovecot's file at one moment."""

    def __init__(self, made: OperatorsPostfix, to: Path) -> None:
        self._folder, self._kept = made.folder, to
        for path in self._parts(made.folder):
            self._copy(path, to / path.name)

    def restore(self) -> None:
        """Everything as it was at that moment."""
        for path in self._parts(self._folder):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path in self._kept.iterdir():
            self._copy(path, self._folder / path.name)

    @staticmethod
    def _parts(folder: Path) -> list[Path]:
        return [path for path in folder.iterdir() if path.name in {"etc", "state"} or "dovecot.conf" in path.name]

    @staticmethod
    def _copy(path: Path, to: Path) -> None:
        to.parent.mkdir(exist_ok=True)
        shutil.copytree(path, to) if path.is_dir() else shutil.copy2(path, to)


@pytest.mark.integration  # some forty kills
@pytest.mark.parametrize("during", [apply, revert])
def test_killed_at_any_point_it_can_be_repeated_or_taken_back(
    operators: Make, tmp_path_factory: pytest.TempPathFactory, during: Callable[[Instance], object]
) -> None:
    made = operators("submission")
    original = made.tree()
    before = Snapshot(made, tmp_path_factory.mktemp("before"))
    apply(made.instance)
    applied = read(made)
    if during is revert:
        before = Snapshot(made, tmp_path_factory.mktemp("applied"))
    deed, was_killed = 0, True
    while was_killed:
        deed += 1
        before.restore()
        was_killed = killed_at(deed, during, made)
        let_it_look_old(made)
        killed = Snapshot(made, tmp_path_factory.mktemp("killed"))
        apply(made.instance)
        let_it_look_old(made)
        assert postconf.read(made.directory).same_settings(applied)
        revert(made.instance)
        assert {name: has[0] for name, has in made.tree().items()} == {name: has[0] for name, has in original.items()}
        killed.restore()
        revert(made.instance)
        assert made.tree() == original
        assert not (made.folder / "state").exists()
    assert deed > 5
