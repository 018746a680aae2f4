"""Laws about the repository itself: folders, tests, docs, and what stands in postfix-conf."""

import dataclasses
import importlib
import importlib.util
import pkgutil
import re
import subprocess
from pathlib import Path
from types import ModuleType

import click
import pytest

from sendproof_core import cli
from sendproof_core.schema import Base

REPOSITORY = Path(__file__).parents[1]
# By what their packages and their folders of tests are called.
COMPONENTS = ("core", "milter", "logparser", "web", "notices", "postfix")
FOLDERS = {component: REPOSITORY / component for component in COMPONENTS} | {"postfix": REPOSITORY / "postfix-conf"}
PACKAGES = {component: FOLDERS[component] / f"sendproof_{component}" for component in COMPONENTS}


def modules(component: str) -> list[str]:
    return [module.name for module in pkgutil.iter_modules([str(PACKAGES[component])])]


def test_no_component_folder_is_a_package() -> None:
    """Pymilter owns the name `milter`: a folder of that name with an __init__.py would hide it."""
    folders = [*FOLDERS.values(), *(REPOSITORY / name for name in ("ansible", "bench", "packaging", "tools"))]
    folders += [path for path in (REPOSITORY / "tests").iterdir() if path.is_dir()]
    assert [folder for folder in folders if (folder / "__init__.py").exists()] == []


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_module_has_its_test_file(component: str) -> None:
    # What has no behaviour of its own: values; and Alembic's folder, which is tested as test_schema_version.
    exempt = {"migrations", "states", "transcripts", "events"}
    tests = {path.name for path in (REPOSITORY / "tests" / component).glob("test_*.py")}
    missing = [name for name in modules(component) if name not in exempt and f"test_{name}.py" not in tests]
    assert missing == []


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_module_says_what_it_is_for(component: str) -> None:
    for path in PACKAGES[component].rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert text.startswith(('"""', 'r"""')), path


def settings_classes() -> list[type]:
    found: dict[str, type] = {}
    for component in COMPONENTS:
        for name in modules(component):
            module = importlib.import_module(f"sendproof_{component}.{name}")
            for value in vars(module).values():
                if isinstance(value, type) and dataclasses.is_dataclass(value) and hasattr(value, "TABLE"):
                    found[value.__qualname__] = value
    return list(found.values())


def settings_page() -> ModuleType:
    spec = importlib.util.spec_from_file_location("settings_page", REPOSITORY / "tools" / "settings_page.py")
    assert spec
    assert spec.loader
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


def test_a_setting_that_may_be_absent_has_the_type_of_its_value() -> None:
    tool = settings_page()
    kinds = {(kind.TABLE, row.name): row.kind for kind in tool.TABLES for row in tool.rows(kind)}
    assert kinds["submission", "host"] == "text"
    assert kinds["postfix", "tls_certificate"] == "path"
    assert kinds["dns", "servers"] == "list"


def test_the_page_of_settings_is_what_the_declarations_say() -> None:
    """After a change: .venv/bin/python tools/settings_page.py > docs/settings.md."""
    tool = settings_page()
    assert {kind.__name__ for kind in settings_classes()} == {kind.__name__ for kind in tool.TABLES}
    assert (REPOSITORY / "docs" / "settings.md").read_text(encoding="utf-8") == tool.page()


def commands(group: click.Group, prefix: str) -> list[str]:
    found: list[str] = []
    for name, command in group.commands.items():
        full = f"{prefix} {name}"
        found += commands(command, full) if isinstance(command, click.Group) else [full]
    return found


def test_every_command_is_documented() -> None:
    text = (REPOSITORY / "docs" / "commands.md").read_text(encoding="utf-8")
    missing = [name for name in commands(cli.root, "sendproof") if f"`{name}" not in text]
    assert missing == []


def test_every_table_has_its_place_in_the_architecture() -> None:
    text = (REPOSITORY / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert [name for name in Base.metadata.tables if f"`{name}`" not in text] == []


def test_postfix_knows_every_parameter_that_we_set() -> None:
    known = subprocess.run(["/usr/sbin/postconf", "-d"], capture_output=True, text=True, check=True).stdout
    parameters = set(re.findall(r"^(\w+) =", known, re.MULTILINE))
    templates = REPOSITORY / "postfix-conf/sendproof_postfix/templates"
    texts = [(templates / f"{name}.cf.j2").read_text(encoding="utf-8") for name in ("main", "outgoing", "cleanup")]
    ours = {name for text in texts for name in re.findall(r"^(\w+) =", text, re.MULTILINE)}
    master = (templates / "master.cf.j2").read_text(encoding="utf-8")
    ours |= set(re.findall(r"^\s+-o (\w+)=", master, re.MULTILINE))
    assert len(ours) > 40
    assert ours - parameters == set()


def test_lock_files_hold_no_address_and_pin_everything() -> None:
    for path in (REPOSITORY / "requirements.lock", REPOSITORY / "tools" / "build-requirements.lock"):
        text = path.read_text(encoding="utf-8")
        assert "://" not in text
        names = re.findall(r"^[A-Za-z0-9][^\s]*", text, re.MULTILINE)
        assert names
        assert all("==" in name for name in names)
        assert text.count("--hash=sha256:") >= len(names)


def test_every_decision_has_its_four_parts() -> None:
    notes = sorted((REPOSITORY / "docs" / "decisions").glob("*.md"))
    assert [note.name[:4] for note in notes] == [f"{number:04}" for number in range(1, len(notes) + 1)]
    for note in notes:
        text = note.read_text(encoding="utf-8")
        for part in ("**Context.**", "**Decision.**", "**Price.**"):
            assert part in text, f"{note.name} lacks {part}"
