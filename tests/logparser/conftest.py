"""What the tests of the logparser share: machines to read from."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sendproof_core import schema_version
from sendproof_core.database import open_database
from sendproof_testing.record_reading import Machine


@pytest.fixture
def make_machine(tmp_path: Path) -> Iterator[Callable[[], Machine]]:
    """Makes machines, each with an empty record."""
    made: list[Machine] = []

    def make() -> Machine:
        folder = tmp_path / f"machine{len(made)}"
        folder.mkdir()
        database = open_database(f"sqlite:///{folder}/sendproof.db")
        schema_version.upgrade(database)
        made.append(Machine(folder, database))
        return made[-1]

    yield make
    for machine in made:
        machine.database.close()


@pytest.fixture
def machine(make_machine: Callable[[], Machine]) -> Machine:
    return make_machine()
