"""The Debian package as a file: what is in it, for whom, and what Debian's own tools say of it."""

import dataclasses
import gzip
import importlib.util
import os
import re
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from sendproof_core import cli, settings
from sendproof_logparser.settings import LogparserSettings
from sendproof_milter.settings import MilterSettings
from sendproof_testing import debian_package
from sendproof_web.settings import WebSettings

REPOSITORY = Path(__file__).parents[2]
FIRST_SETTINGS = REPOSITORY / "packaging/programs/first-settings"
PROGRAMS = ("sendproof-logparser", "sendproof-milter", "sendproof-notices", "sendproof-web")


@pytest.fixture(scope="module")
def package() -> Path:
    return debian_package.built()


@pytest.fixture(scope="module")
def tree(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, unpacked; its control files are in DEBIAN/."""
    target = tmp_path_factory.mktemp("package")
    subprocess.run(["dpkg-deb", "--raw-extract", package, target], check=True)
    return target


def ordinary_files(tree: Path) -> Iterator[Path]:
    return (path for path in tree.rglob("*") if path.is_file() and not path.is_symlink())


@pytest.mark.integration
def test_lintian_finds_nothing(package: Path) -> None:
    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on=error,warning", package], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.integration
def test_no_path_of_the_building_machine_is_inside(tree: Path) -> None:
    ours = (str(REPOSITORY).encode(), b"build/deb/", sys.prefix.encode(), sys.base_prefix.encode() + b"/lib")
    # "/usr/lib" is where everything is.
    wanted = [text for text in ours if text != b"/usr/lib"]
    found = [
        (str(path.relative_to(tree)), text)
        for path in ordinary_files(tree)
        for text in wanted
        if text in path.read_bytes()
    ]
    assert found == []


@pytest.mark.integration
def test_nobody_but_root_may_write_what_is_installed(package: Path, tree: Path) -> None:
    modes = {stat.S_IMODE(path.lstat().st_mode) for path in tree.rglob("*") if not path.is_symlink()}
    assert modes <= {0o644, 0o755}
    listed = subprocess.run(["dpkg-deb", "--contents", package], capture_output=True, text=True, check=True).stdout
    assert {line.split()[1] for line in listed.splitlines()} == {"root/root"}


@pytest.mark.integration
def test_what_is_inside_is_what_the_lock_file_says(tree: Path) -> None:
    lock = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    locked = dict(re.findall(r"^([A-Za-z0-9-]+)(?:\[[^\]]*\])?==([^\s;]+)", lock, re.MULTILINE))
    packages = dict(path.name.removesuffix(".dist-info").rsplit("-", 1) for path in tree.rglob("*.dist-info"))
    inside = {name.lower().replace("_", "-").replace(".", "-"): version for name, version in packages.items()}
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert inside.pop("sendproof") == project["version"]
    assert {"flask", "pymilter", "watchdog", "psycopg", "gunicorn", "dkimpy"} <= set(inside)
    assert inside == {name: locked[name] for name in inside}
    assert not {"pytest", "mypy", "ansible-core", "pip", "setuptools", "selenium"} & set(inside)


@pytest.mark.integration
@pytest.mark.parametrize("name", ["traffic.log", "dialogue.log", "records.txt"])
def test_debians_python_reads_a_log_as_this_one_does(tree: Path, name: str) -> None:
    """Python 3.11.2 carries possessive groups out wrongly, and did not know a status line."""
    words = ["logs", "parse", "--year", "2026", "--zone", "UTC", str(REPOSITORY / "tests/corpus/logs" / name)]
    site_packages = next(tree.rglob("site-packages"))
    program = f"import sys; sys.path.insert(0, {str(site_packages)!r}); from sendproof_core.cli import main; main()"
    theirs = subprocess.run(["/usr/bin/python3", "-I", "-c", program, *words], capture_output=True, check=False)
    ours = subprocess.run([Path(sys.executable).with_name("sendproof"), *words], capture_output=True, check=False)
    assert ours.stdout
    assert (theirs.returncode, theirs.stdout) == (ours.returncode, ours.stdout)


@pytest.mark.integration
def test_the_site_has_its_style_and_its_languages(tree: Path) -> None:
    site = next(tree.rglob("site-packages/sendproof_web"))
    assert (site / "static/vendor/pico.min.css").exists()
    assert (site / "translations/de/LC_MESSAGES/messages.mo").exists()


@pytest.mark.integration
def test_every_program_is_a_command_with_a_page(tree: Path) -> None:
    assert (tree / "usr/bin/sendproof").exists()
    for name in PROGRAMS:
        script = tree / "usr/sbin" / name
        assert script.resolve() == tree / "usr/lib/sendproof/bin" / name
        assert script.read_text().startswith("#!/usr/lib/sendproof/bin/python3 -I\n")
        assert (tree / f"usr/share/man/man8/{name}.8.gz").exists()
    groups = {f"sendproof-{name}.1.gz" for name in cli.root.commands} | {"sendproof.1.gz"}
    assert {path.name for path in (tree / "usr/share/man/man1").iterdir()} == groups


@pytest.mark.integration
def test_every_setting_is_in_its_page(tree: Path) -> None:
    page = gzip.decompress((tree / "usr/share/man/man5/sendproof.toml.5.gz").read_bytes()).decode()
    tables = settings_page().TABLES
    assert len(tables) > 10
    for kind in tables:
        assert f'.SH "[{kind.TABLE}]"' in page
        for field in dataclasses.fields(kind):
            assert f"\n\\fB{field.name}\\fP (" in page, (kind.TABLE, field.name)


def settings_page() -> ModuleType:
    spec = importlib.util.spec_from_file_location("settings_page", REPOSITORY / "tools/settings_page.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.integration
def test_every_page_renders_without_a_warning(tree: Path) -> None:
    pages = sorted((tree / "usr/share/man").rglob("*.gz"))
    assert len(pages) > 10
    for page in pages:
        done = subprocess.run(
            ["man", "--warnings", "--encoding=utf8", "--troff-device=utf8", "--local-file", page],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "MANWIDTH": "80", "LC_ALL": "C.UTF-8"},
        )
        assert (page.name, done.stderr) == (page.name, "")
        shown = re.sub(".\b", "", done.stdout)  # bold as a terminal of paper had it
        assert all(word in shown for word in ("NAME", "SYNOPSIS", "SEE ALSO")), page.name


@pytest.mark.integration
def test_maintainer_scripts_are_what_a_plain_shell_understands(tree: Path) -> None:
    scripts = [tree / "DEBIAN" / name for name in ("postinst", "prerm", "postrm")]
    for script in (*scripts, tree / "usr/bin/sendproof", tree / "usr/lib/sendproof/first-settings"):
        subprocess.run(["dash", "-n", script], check=True)


# --- the first settings ----------------------------------------------------------------------------------------------


def first_settings(folder: Path, main_cf: str) -> settings.SettingsFile:
    """What the package would write beside a Postfix with this main.cf."""
    postfix = folder / "postfix"
    postfix.mkdir()
    (postfix / "main.cf").write_text(f"compatibility_level = 3.6\n{main_cf}")
    (postfix / "master.cf").touch()
    done = subprocess.run(
        [FIRST_SETTINGS], capture_output=True, text=True, check=True, env={**os.environ, "MAIL_CONFIG": str(postfix)}
    )
    (folder / "sendproof.toml").write_text(done.stdout)
    return settings.load(folder / "sendproof.toml")


def test_the_first_settings_follow_the_postfix_that_is_there(tmp_path: Path) -> None:
    file = first_settings(
        tmp_path,
        "myhostname = mx7.example.net\nmaillog_file = /var/log/postfix.log\n"
        "minimal_backoff_time = 10m\nmaximal_queue_lifetime = 2d\n",
    )
    assert file.table(settings.HostSettings).name == "mx7.example.net"
    assert file.table(LogparserSettings).maillogs == (Path("/var/log/postfix.log"),)
    assert file.tables["queue"] == {
        "minimal_backoff_seconds": 600,
        "maximal_backoff_seconds": 4000,
        "queue_run_seconds": 300,
        "lifetime_seconds": 172_800,
    }


def test_the_first_settings_are_good_for_every_program(tmp_path: Path) -> None:
    file = first_settings(tmp_path, "myhostname = mx7.example.net\n")
    known = {kind.TABLE: kind for kind in settings_page().TABLES}
    for name in file.tables:
        file.table(known[name])
    assert {"host", "database", "secrets", "site", "sasl", "milter", "logparser", "web"} <= set(file.tables)
    journals = {file.table(MilterSettings).journal, file.table(WebSettings).journal}
    assert set(file.table(LogparserSettings).journals) == journals


@pytest.mark.parametrize("name", ['a"b', "a\\nb", "$(id)", "ä.example"])
def test_a_name_that_is_no_host_name_does_not_get_into_the_settings(tmp_path: Path, name: str) -> None:
    file = first_settings(tmp_path, f"myhostname = {name}\n")
    assert re.fullmatch(r"[A-Za-z0-9.-]+", file.table(settings.HostSettings).name)
