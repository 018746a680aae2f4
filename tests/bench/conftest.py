"""Makes ``bench`` importable, which is no part of the installed programs."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
