"""Secret files: there, and nobody else's business."""

import os
from pathlib import Path

import pytest

from sendproof_core.secrets_store import SecretsStore
from sendproof_postfix import check_secrets
from sendproof_postfix.doctor import Finding, Severity
from sendproof_testing import doctor_subjects

VERDICTS = doctor_subjects.verdicts()
TABLES = "[milter]\n[web]\n"


def look(folder: Path, text: str = TABLES) -> list[Finding]:
    return list(check_secrets.look(doctor_subjects.subject(folder, text), VERDICTS))


def test_the_secrets_that_the_command_makes_are_well(tmp_path: Path) -> None:
    SecretsStore(tmp_path / "secrets").create()
    (finding,) = look(tmp_path)
    assert finding.severity is Severity.OK


def test_no_secrets_at_all_are_an_error(tmp_path: Path) -> None:
    (finding,) = look(tmp_path)
    assert finding.severity is Severity.ERROR
    assert "secrets create" in finding.remedy


def test_files_that_a_program_of_this_machine_needs_are_named(tmp_path: Path) -> None:
    SecretsStore(tmp_path / "secrets").create()
    for name in ("links.key", "tokens-1.key"):
        (tmp_path / "secrets" / name).unlink()
    missing = look(tmp_path)[0]
    assert missing.severity is Severity.ERROR
    assert "links.key, tokens-1.key" in missing.said
    assert "links.key" not in look(tmp_path, "[milter]\n")[0].said, "the milter needs none"
    assert "tokens" not in look(tmp_path, "[notices]\n")[0].said, "the notices need none"


@pytest.mark.parametrize(("mode", "severity"), [(0o604, Severity.ERROR), (0o660, Severity.WARNING)])
def test_a_file_that_others_may_read_or_change_is_said_with_its_mode(
    tmp_path: Path, mode: int, severity: Severity
) -> None:
    SecretsStore(tmp_path / "secrets").create()
    (tmp_path / "secrets/site.key").chmod(mode)
    (finding,) = look(tmp_path)
    assert finding.severity is severity
    assert f"{mode:04o}" in finding.said
    assert (tmp_path / "secrets/site.key").read_text().strip() not in str(finding)


def test_a_file_of_passwords_is_looked_at_wherever_it_is(tmp_path: Path) -> None:
    SecretsStore(tmp_path / "secrets").create()
    (tmp_path / "passwd").write_text("")
    (tmp_path / "passwd").chmod(0o644)
    (finding,) = look(tmp_path, f'{TABLES}[sasl]\npasswd_file = "{tmp_path}/passwd"\n')
    assert finding.severity is Severity.ERROR
    assert "passwd-file" in finding.said


@pytest.mark.skipif(os.geteuid() != 0, reason="asks in the name of another user")
def test_a_secret_that_the_services_user_may_not_read_is_an_error() -> None:
    with doctor_subjects.public_folder() as folder:
        SecretsStore(folder / "secrets").create()
        (folder / "password").write_text("x\n")
        for path in (folder / "secrets", *(folder / "secrets").iterdir()):
            os.chown(path, 65534, -1)
        for path in (folder / "secrets/links.key", folder / "secrets/site.key", folder / "password"):
            os.chown(path, 0, 0)
            path.chmod(0o600)
        text = f'[notices]\npassword_file = "{folder}/password"\n'
        subject = doctor_subjects.subject(folder, text, service_user="nobody")
        found = list(check_secrets.look(subject, VERDICTS))
    assert doctor_subjects.severities(found) == [Severity.ERROR, Severity.ERROR]
    assert "nobody may not read the secret file" in found[0].said, "site.key is no program's of this machine"
    assert "links.key" in found[0].said
    assert "chown nobody" in found[0].remedy
    assert "the notices' password file" in found[1].said


def test_what_systemd_gives_a_service_need_not_be_in_the_folder(tmp_path: Path) -> None:
    unit = "# /etc/systemd/x.conf\n[Service]\nLoadCredential=site.key:/srv/site.key\nSetCredential = links.key:text\n"
    unit += "LoadCredentialEncrypted=tokens-1.key\n#LoadCredential=key-encryption.key:/x\nUser=sendproof\n"
    given = {"web": check_secrets.given_by_systemd(unit)}
    assert given == {"web": {"site.key", "links.key", "tokens-1.key"}}
    assert not list(check_secrets.judge_names(tmp_path, ["key-encryption.key"], given, VERDICTS))
    (missing,) = check_secrets.judge_names(tmp_path, ["key-encryption.key"], {**given, "milter": frozenset()}, VERDICTS)
    assert "tokens-1.key" in missing.said, "nobody gives it to the milter"
    assert "site.key" not in missing.said
    everything = ["key-encryption.key", "links.key", "site.key", "tokens-1.key", "tokens-2.key"]
    assert check_secrets.read_names(everything, given) == {"key-encryption.key", "tokens-2.key"}


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file away")
def test_a_file_of_somebody_elses_is_a_warning(tmp_path: Path) -> None:
    SecretsStore(tmp_path / "secrets").create()
    os.chown(tmp_path / "secrets/site.key", 65534, 0)
    (finding,) = look(tmp_path)
    assert finding.severity is Severity.WARNING


def test_settings_with_a_password_are_a_secret_too(tmp_path: Path) -> None:
    SecretsStore(tmp_path / "secrets").create()
    subject = doctor_subjects.subject(tmp_path, TABLES)
    path = tmp_path / "sendproof.toml"
    path.write_text(path.read_text().replace(f"sqlite:///{tmp_path}/sendproof.db", "postgresql://a:hidden@b/c"))
    path.chmod(0o644)
    (finding,) = check_secrets.look(subject, VERDICTS)
    assert finding.severity is Severity.ERROR
    assert "hidden" not in str(finding)
