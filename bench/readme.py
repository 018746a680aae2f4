"""``make bench-readme``: put the tables of the last measurements into README.md. Measures nothing."""

import sys
from pathlib import Path

# The repository instead of this folder, where milter.py would answer pymilter's own `import milter`.
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import markdown
from bench.markdown import LAST_RUN
from bench.process_times import REPOSITORY

from sendproof_core.errors import UserError, guarded


def _command() -> None:
    tables = sorted(LAST_RUN.glob("bench-*.md"))
    if not tables:
        raise UserError(f"there is no table in {LAST_RUN}; `make bench-milter` measures and writes one.")
    readme = REPOSITORY / "README.md"
    page = readme.read_text(encoding="utf-8")
    for path in tables:
        page = markdown.included(page, path.stem, path.read_text(encoding="utf-8"))
    readme.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    guarded(_command)
