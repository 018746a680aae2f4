"""The playbooks hold together, and what they write is what the programs read. No play of site.yml is run here."""

import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # comes with Ansible, its stubs do not

from sendproof_core.queue_times import QueueTimes
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
from sendproof_web.settings import WebSettings

Run = Callable[..., subprocess.CompletedProcess[str]]
ANSIBLE = Path(__file__).parents[2] / "ansible"
ROLES = sorted(path for path in (ANSIBLE / "roles").iterdir())
GROUPS = ("sendproof_database", "sendproof_edges", "sendproof_web", "sendproof_notices")
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
    example = read_yaml(ANSIBLE / "inventories/example/group_vars/sendproof.yml")
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
            "sendproof_common_hostname": "mail.example.net",
            "sendproof_postfix_templates": str(ANSIBLE.parent / "postfix-conf/sendproof_postfix/templates"),
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


def test_the_syntax_is_right(run: Run) -> None:
    done = run("ansible-playbook", "--syntax-check", "-i", "inventories/example/hosts.yml", "site.yml")
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
    (site,) = read_yaml(ANSIBLE / "site.yml")
    played = [role["role"] for role in site["roles"]]
    assert sorted(played) == [role.name for role in ROLES]
    assert [item["role"] for item in site["pre_tasks"][0]["loop"]] == played


def test_a_missing_variable_is_named_before_any_host_is_changed(
    run: Run, tmp_path: Path, one_machine: dict[str, Any]
) -> None:
    (site,) = read_yaml(ANSIBLE / "site.yml")
    variables = {name: value for name, value in one_machine["vars"].items() if name != "sendproof_postfix_tls_key"}
    checks = yaml.safe_dump(site["pre_tasks"]).replace("{{ playbook_dir }}", str(ANSIBLE))
    content = one_machine | {"vars": variables, "tasks": yaml.safe_load(checks)}
    (tmp_path / "play.json").write_text(json.dumps([content]), encoding="utf-8")
    done = run("ansible-playbook", "-i", tmp_path / "hosts.json", tmp_path / "play.json")
    assert done.returncode == 2
    assert "missing required arguments: sendproof_postfix_tls_key" in done.stdout
    assert PASSWORD not in done.stdout


def test_the_examples_variables_pass_the_checks(run: Run, tmp_path: Path, one_machine: dict[str, Any]) -> None:
    (site,) = read_yaml(ANSIBLE / "site.yml")
    checks = yaml.safe_dump(site["pre_tasks"]).replace("{{ playbook_dir }}", str(ANSIBLE))
    play(run, tmp_path, one_machine | {"tasks": yaml.safe_load(checks)})


def test_every_component_reads_its_settings(run: Run, tmp_path: Path, one_machine: dict[str, Any]) -> None:
    settings = rendered_settings(run, tmp_path, one_machine)
    kinds: list[type[Any]] = [HostSettings, DatabaseSettings, SecretsSettings, SiteSettings, QueueTimes, SaslSettings]
    kinds += [DnsSettings, SubmissionSettings]
    kinds += [MilterSettings, LogparserSettings, WebSettings, NoticesSettings]
    assert set(settings.tables) == {kind.TABLE for kind in kinds}
    for kind in kinds:
        assert dataclasses.is_dataclass(settings.table(kind))


def test_more_settings_and_odd_characters_arrive_as_they_are(
    run: Run, tmp_path: Path, one_machine: dict[str, Any]
) -> None:
    more = {"workers": 4, "journal_synchronous": False, "message_seconds": 12.5}
    url = 'postgresql+psycopg://u:p"\\ä\U0001f511@db/sendproof'
    settings = rendered_settings(
        run, tmp_path, one_machine, sendproof_milter_settings=more, sendproof_common_database_url=url
    )
    milter = settings.table(MilterSettings)
    assert (milter.workers, milter.journal_synchronous, milter.message_seconds) == (4, False, 12.5)
    assert settings.table(DatabaseSettings).url == url


def test_the_lock_files_versions_become_constraints(run: Run, tmp_path: Path, one_machine: dict[str, Any]) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("# made\nclick==8.4.2 \\\n    --hash=sha256:aa \\\n    # via x==1\npsycopg[binary]==3.3.9 ; y\n")
    content = "{{ sendproof_common_constraints | join(' ') }}"
    task = {"ansible.builtin.copy": {"content": content, "dest": str(tmp_path / "constraints"), "mode": "0600"}}
    variables = one_machine["vars"] | {"sendproof_common_requirements": str(lock)}
    play(run, tmp_path, one_machine | {"vars": variables, "tasks": [task]})
    assert (tmp_path / "constraints").read_text() == "click==8.4.2 psycopg==3.3.9"


@pytest.mark.integration
def test_postfixs_settings_are_applied_once_and_then_left_alone(
    run: Run, tmp_path: Path, one_machine: dict[str, Any]
) -> None:
    postfix = tmp_path / "postfix"
    postfix.mkdir()
    (postfix / "main.cf").write_text("relayhost = [operators.example]\nsmtp_tls_session_cache_database = btree:x\n")
    operators = "smtp      inet  n       -       y       -       -       smtpd\n  -o operators_own=1\n"
    (postfix / "master.cf").write_text(operators + "smtp      unix  -       -       y       -       -       smtp\n")
    content = one_machine | {
        "tasks": [{"ansible.builtin.include_tasks": str(ANSIBLE / "roles/sendproof_postfix/tasks/settings.yml")}],
        "handlers": [{"name": "Reload Postfix", "ansible.builtin.debug": {"msg": "would reload"}}],
        "environment": {"MAIL_CONFIG": str(postfix)},  # postconf's; never this machine's own Postfix
    }
    first = play(run, tmp_path, content)
    assert "would reload" in first
    main, master = (postfix / "main.cf").read_text(), (postfix / "master.cf").read_text()
    assert "relayhost = [operators.example]" in main
    assert "enable_long_queue_ids = yes" in main
    assert operators in master
    assert re.search(r"(?m)^smtp_tls_session_cache_database = *$", main)
    assert re.search(r"(?m)^smtp +unix .* n .*smtp\n    -o debug_peer_list=0.0.0.0/0,\[::\]/0\n", master)
    for service in ("submission inet", "submissions inet"):
        assert re.search(rf"(?m)^{service} .*smtpd\n(?:    -o .*\n)*    -o smtpd_milters=unix:/run/sendproof", master)

    second = play(run, tmp_path, content)
    assert "changed=0" in second
    assert (main, master) == ((postfix / "main.cf").read_text(), (postfix / "master.cf").read_text())


def test_units_start_the_programs_that_the_package_has() -> None:
    project = (ANSIBLE.parent / "pyproject.toml").read_text(encoding="utf-8")
    units = list(ANSIBLE.glob("roles/*/templates/etc/systemd/system/sendproof-*.service.j2"))
    assert len(units) == 4
    for unit in units:
        text = unit.read_text(encoding="utf-8")
        program = re.search(r"(?m)^ExecStart=\S+ sendproof_common_prefix }}/venv/bin/(\S+) --config \S", text)
        assert program is not None
        assert f"{program[1]} = " in project
        assert "sendproof_common_version" in text  # so that an upgrade restarts it


def test_no_setting_of_postfix_or_dovecot_stands_here() -> None:
    for path in ANSIBLE.glob("roles/**/*"):
        if path.is_file():
            assert not re.search(r"\bsmtpd_\w+ *=|\bpassdb\b", path.read_text(encoding="utf-8")), path
