"""What the tests of the logparser share: machines to read from."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sendproof_core.database import open_database
from sendproof_testing.record_reading import Machine


@pytest.fixture
def make_machine(sqlite_template: Path, tmp_path: Path) -> Iterator[Callable[[], Machine]]:
    """Makes machines, each with an empty record."""
    made: list[Machine] = []

    def make() -> Machine:
        folder = tmp_path / f"machine{len(made)}"
        folder.mkdir()
        shutil.copy(sqlite_template, folder / "sendproof.db")
        made.append(Machine(folder, open_database(f"sqlite:///{folder}/sendproof.db")))
        return made[-1]

    yield make
    for machine in made:
        machine.database.close()


@pytest.fixture
def machine(make_machine: Callable[[], Machine]) -> Machine:
    return make_machine()
