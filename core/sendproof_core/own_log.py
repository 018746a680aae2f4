"""Our own logs: one event a line on standard error, ``key=value``; systemd's journal adds the rest."""

import logging
import sys


class _OneLine(logging.Formatter):
    """Text from outside may hold newlines or terminal escapes: they are shown, not sent."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" if c != "\n" else " | " for c in text)


def configure(program: str) -> None:
    """Send this process's log to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine(f"%(asctime)s {program}[%(process)d] %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)
