"""The playbooks hold together, and what they write is what the programs read. No machine is provisioned here."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # comes with Ansible, its stubs do not

from sendproof_core.database_url import Program
from sendproof_core.queue_times import QueueTimes
from sendproof_core.retention import RecordSettings
from sendproof_core.settings import (
    DatabaseSettings,
    DnsSettings,
    HostSettings,
    SaslSettings,
    SecretsSettings,
    SettingsFile,
    SiteSettings,
    SubmissionSettings,
    load,
)
from sendproof_logparser.settings import LogparserSettings
from sendproof_milter.settings import MilterSettings
from sendproof_notices.settings import NoticesSettings
from sendproof_postfix.settings import PostfixSettings
from sendproof_web.settings import WebSettings

Run = Callable[..., subprocess.CompletedProcess[str]]
ANSIBLE = Path(__file__).parents[2] / "ansible"
ROLES = sorted(path for path in (ANSIBLE / "roles").iterdir())
GROUPS = ("sendproof_database", "sendproof_edges", "sendproof_web", "sendproof_notices")
INVENTORIES = ("one-machine", "several-machines")
PASSWORD = "a password of notices"  # for the example inventory's vault


def read_yaml(path: Path) -> Any:  # as YAML is
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def role_id(path: Path) -> str:
    return path.name


@pytest.fixture
def one_machine(tmp_path: Path) -> dict[str, Any]:
    """A play on this machine that may write to the test's folder only; a test adds what it does."""
    inventory = {
        "sendproof": {
            "vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable},
            "children": {group: {"hosts": {"mail.example.net": {}}} for group in GROUPS},
        }
    }
    (tmp_path / "hosts.json").write_text(json.dumps(inventory), encoding="utf-8")
    example = read_yaml(ANSIBLE / "inventories/one-machine/group_vars/sendproof.yml")
    variables: dict[str, Any] = {}
    for role in ROLES:
        for part in ("defaults", "vars"):
            path = role / part / "main.yml"
            variables |= read_yaml(path) if path.exists() else {}
    return {
        "hosts": "sendproof",
        "gather_facts": False,
        "vars": variables
        | example
        | {
            "sendproof_common_package_file": "sendproof_1_amd64.deb",
            "vault_sendproof_notices_password": PASSWORD,
        },
    }


def play(run: Run, folder: Path, content: dict[str, Any], **environment: str) -> str:
    playbook = folder / "play.json"
    playbook.write_text(json.dumps([content]), encoding="utf-8")
    done = run("ansible-playbook", "-i", folder / "hosts.json", playbook, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rendered_settings(run: Run, folder: Path, content: dict[str, Any], **more: Any) -> SettingsFile:
    template = ANSIBLE / "roles/sendproof_common/templates/etc/sendproof/sendproof.toml.j2"
    task = {"ansible.builtin.template": {"src": str(template), "dest": str(folder / "sendproof.toml"), "mode": "0600"}}
    play(run, folder, content | {"vars": content["vars"] | more, "tasks": [task]})
    return load(folder / "sendproof.toml")


@pytest.mark.parametrize("inventory", INVENTORIES)
def test_the_syntax_is_right(run: Run, inventory: str) -> None:
    done = run("ansible-playbook", "--syntax-check", "-i", f"inventories/{inventory}/hosts.yml", "site.yml")
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr


def test_yamllint_is_content(run: Run) -> None:
    done = run("yamllint", "--strict", ".")
    assert done.returncode == 0, done.stdout


def test_ansible_lint_is_content_with_the_production_profile(run: Run) -> None:
    done = run("ansible-lint", "--offline", "--profile", "production", "-c", ".ansible-lint")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("role", ROLES, ids=role_id)
def test_every_variable_of_a_role_is_described_and_checked(role: Path) -> None:
    options = read_yaml(role / "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    defaults = read_yaml(role / "defaults/main.yml")
    assert all(option["description"].endswith(".") for option in options.values())
    assert set(defaults) == {name for name, option in options.items() if not option.get("required")}
    assert all(name.startswith(f"{role.name}_") for name in options)


def test_every_role_is_played_and_its_variables_are_checked_first() -> None:
    checks, site = read_yaml(ANSIBLE / "site.yml")
    played = [role["role"] for role in site["roles"]]
    assert sorted(played) == [role.name for role in ROLES]
    checked = read_yaml(ANSIBLE / "roles/sendproof_common/vars/main.yml")["sendproof_common_checked"]
    assert [item["role"] for item in checked] == played
    assert checks["any_errors_fatal"]
    assert not checks["gather_facts"]


@pytest.mark.parametrize(
    ("inventory", "more"),
    [
        ("one-machine", {}),
        ("one-machine", {"sendproof_firewall_ssh_ports": [2222], "sendproof_firewall_ssh_forwarded": True}),
        ("one-machine", {"sendproof_monitoring_prometheus_folder": "/etc/prometheus"}),
        ("several-machines", {}),
        (
            "several-machines",
            {
                "sendproof_monitoring_sources": ["192.0.2.9"],
                "sendproof_monitoring_prometheus_folder": "/etc/prometheus",
            },
        ),
    ],
)
def test_the_examples_variables_pass_the_checks(run: Run, tmp_path: Path, inventory: str, more: dict[str, Any]) -> None:
    secrets = (
        more
        | {
            "vault_sendproof_notices_password": PASSWORD,
            "vault_sendproof_certificate_chain": "-----BEGIN CERTIFICATE-----",
            "vault_sendproof_certificate_key": "-----BEGIN PRIVATE KEY-----",
            "sendproof_common_package_file": "sendproof_1_amd64.deb",
        }
        | {f"vault_sendproof_database_{program}": f"a-password-of-{program}" for program in Program}
    )
    (tmp_path / "secrets.json").write_text(json.dumps(secrets), encoding="utf-8")
    hosts = f"inventories/{inventory}/hosts.yml"
    done = run("ansible-playbook", "-i", hosts, "-e", f"@{tmp_path}/secrets.json", "--tags", "checks", "site.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "unreachable=0" in done.stdout
    assert "a-password-of" not in done.stdout


def test_every_component_reads_its_settings(run: Run, tmp_path: Path, one_machine: dict[str, Any]) -> None:
    settings = rendered_settings(run, tmp_path, one_machine)
    kinds: list[type[Any]] = [HostSettings, DatabaseSettings, SecretsSettings, SiteSettings, QueueTimes, SaslSettings]
    kinds += [DnsSettings, SubmissionSettings]
    kinds += [RecordSettings, PostfixSettings, MilterSettings, LogparserSettings, WebSettings, NoticesSettings]
    assert set(settings.tables) == {kind.TABLE for kind in kinds}
    for kind in kinds:
        assert dataclasses.is_dataclass(settings.table(kind))


def test_more_settings_and_odd_characters_arrive_as_they_are(
    run: Run, tmp_path: Path, one_machine: dict[str, Any]
) -> None:
    more = {"workers": 4, "journal_synchronous": False, "message_seconds": 12.5}
    url = 'postgresql+psycopg://u:p"\\ä\U0001f511@db/sendproof'
    settings = rendered_settings(run, tmp_path, one_machine, sendproof_milter_settings=more, sendproof_database_url=url)
    milter = settings.table(MilterSettings)
    assert (milter.workers, milter.journal_synchronous, milter.message_seconds) == (4, False, 12.5)
    assert settings.table(DatabaseSettings).url == url


def test_no_setting_of_postfix_or_dovecot_stands_here() -> None:
    for path in ANSIBLE.glob("roles/**/*"):
        if path.is_file():
            assert not re.search(r"\bsmtpd_\w+ *=|\bpassdb\b", path.read_text(encoding="utf-8")), path


def test_prometheuss_files_are_yaml_and_speak_of_numbers_that_there_are(
    run: Run, tmp_path: Path, one_machine: dict[str, Any]
) -> None:
    templates = ANSIBLE / "roles/sendproof_monitoring/templates/etc/prometheus"
    names = ("sendproof-alerts.yml", "sendproof-targets.yml")
    tasks = [
        {"ansible.builtin.template": {"src": f"{templates}/{name}.j2", "dest": str(tmp_path / name), "mode": "0600"}}
        for name in names
    ]
    play(run, tmp_path, one_machine | {"tasks": tasks})
    alerts, targets = (read_yaml(tmp_path / name) for name in names)
    described = (ANSIBLE.parent / "docs/operations.md").read_text(encoding="utf-8")
    for rule in alerts["groups"][0]["rules"]:
        for number in re.findall(r"sendproof_logparser_(\w+)", rule["expr"]):
            assert number in described
        assert "{{ $labels.host }}" in rule["annotations"]["summary"]
    jobs = {target["labels"]["job"]: target["targets"] for target in targets}
    assert jobs == {"sendproof-milter": ["127.0.0.1:9102"], "sendproof-logparser": ["127.0.0.1:9103"]}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"sendproof_common_address": "192.0.2.11"}, "127.0.0.1"),  # nobody else is to read
        ({"sendproof_monitoring_sources": ["192.0.2.9"]}, "127.0.0.1"),
        ({"sendproof_common_address": "192.0.2.11", "sendproof_monitoring_sources": ["192.0.2.9"]}, "192.0.2.11"),
        ({"sendproof_common_address": "2001:db8::1", "sendproof_monitoring_sources": ["::/0"]}, "[2001:db8::1]"),
    ],
)
def test_prometheus_is_sent_where_the_programs_listen(
    run: Run, tmp_path: Path, one_machine: dict[str, Any], given: dict[str, Any], expected: str
) -> None:
    template = ANSIBLE / "roles/sendproof_monitoring/templates/etc/prometheus/sendproof-targets.yml.j2"
    path = tmp_path / "targets.yml"
    # As facts, the machine has them for others, too.
    tasks = [
        {"ansible.builtin.set_fact": given},
        {"ansible.builtin.template": {"src": str(template), "dest": str(path), "mode": "0600"}},
    ]
    settings = rendered_settings(run, tmp_path, one_machine, **given)
    play(run, tmp_path, one_machine | {"tasks": tasks})
    found = [target["targets"][0] for target in read_yaml(path)]
    assert found == [settings.table(MilterSettings).metrics, settings.table(LogparserSettings).metrics]
    assert found == [f"{expected}:9102", f"{expected}:9103"]


def test_what_was_changed_reaches_its_program_also_when_a_later_task_fails(
    run: Run, tmp_path: Path, one_machine: dict[str, Any]
) -> None:
    _checks, site = read_yaml(ANSIBLE / "site.yml")
    keywords = {name: site[name] for name in site if name in ("any_errors_fatal", "force_handlers")}
    settings, reached = tmp_path / "settings", tmp_path / "reached"
    tasks = [
        {"ansible.builtin.copy": {"content": "new", "dest": str(settings), "mode": "0600"}, "notify": "Reach it"},
        {"ansible.builtin.fail": {"msg": "the database is away"}},
    ]
    handlers = [{"name": "Reach it", "ansible.builtin.copy": {"src": str(settings), "dest": str(reached)}}]
    playbook = tmp_path / "play.json"
    playbook.write_text(json.dumps([one_machine | keywords | {"tasks": tasks, "handlers": handlers}]), encoding="utf-8")
    done = run("ansible-playbook", "-i", tmp_path / "hosts.json", playbook)
    assert "the database is away" in done.stdout
    assert done.returncode != 0
    assert reached.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to root")
def test_a_folder_of_certificates_that_is_there_stays_as_it_is(
    run: Run, tmp_path: Path, one_machine: dict[str, Any]
) -> None:
    there, missing = tmp_path / "private", tmp_path / "missing"
    there.mkdir(mode=0o710)
    given = {
        "sendproof_certificates_chain": str(there / "chain.pem"),
        "sendproof_certificates_key": str(missing / "key.pem"),
        "sendproof_certificates_chain_content": "-----BEGIN CERTIFICATE-----",
        "sendproof_certificates_key_content": "-----BEGIN PRIVATE KEY-----",
    }
    content = {
        "vars": one_machine["vars"] | given,
        "tasks": [{"ansible.builtin.include_tasks": str(ANSIBLE / "roles/sendproof_certificates/tasks/given.yml")}],
        "handlers": [{"name": f"Reload {name}", "ansible.builtin.meta": "noop"} for name in ("nginx", "Postfix")],
    }
    play(run, tmp_path, one_machine | content)
    paths = (there, there / "chain.pem", missing, missing / "key.pem")
    assert [path.stat().st_mode & 0o777 for path in paths] == [0o710, 0o644, 0o755, 0o600]


@pytest.mark.skipif(os.geteuid() != 0, reason="asks in the name of another user")
def test_a_folder_of_backups_that_is_another_users_is_named_and_stays_so(
    run: Run, tmp_path: Path, one_machine: dict[str, Any]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)  # "nobody" comes in here, and not into the test's own folder
        given = {"sendproof_backup_folder": f"{name}/made", "sendproof_common_user": "nobody"}
        tasks = [{"ansible.builtin.include_tasks": str(ANSIBLE / "roles/sendproof_backup/tasks/folder.yml")}]
        content = one_machine | {"vars": one_machine["vars"] | given, "tasks": tasks}
        made = Path(name) / "made"
        made.mkdir(mode=0o755)
        shutil.chown(made, "nobody")
        play(run, tmp_path, content)
        assert (made.owner(), made.stat().st_mode & 0o777) == ("nobody", 0o755)
        shutil.chown(made, "root")
        with pytest.raises(AssertionError, match="cannot write into"):
            play(run, tmp_path, content)
        assert made.owner() == "root"
