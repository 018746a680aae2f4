"""A queue directory that Postfix has made its folders in: `postfix check` takes its time the first time."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sendproof_testing.operators_postfix import CORPUS, OperatorsPostfix


@pytest.fixture(scope="session")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("queue")
    for path in (folder, *folder.parents[:3]):
        path.chmod(path.stat().st_mode | 0o055)
    return folder


@pytest.fixture
def operators(tmp_path: Path, queue: Path) -> Callable[[str], OperatorsPostfix]:
    """A Postfix of the corpus by its name."""
    return lambda name: OperatorsPostfix(tmp_path, CORPUS[name], queue)
