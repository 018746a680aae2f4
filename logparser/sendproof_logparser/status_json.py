"""One delivery status line as one line of JSON. Pure; the keys are documented in docs/commands.md.

Written piece by piece instead of by `json.dumps`: that takes as long as all the rest of reading the line.
"""

import datetime as dt
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _quoted

from sendproof_logparser import relay
from sendproof_logparser.events import StatusLine
from sendproof_logparser.process import Process


def place(file: str) -> str:
    """What all lines of one file begin with, for `json_line`."""
    return f'{{"file": {_quoted(file)}, "line": '


def process_keys(process: Process) -> str:
    """What all lines of one process have in common, for `json_line`."""
    return (
        f'"host": {_quoted(process.host)}, "instance": {_quoted(process.instance)},'
        f' "service": {_quoted(process.program)}, "daemon": {_quoted(process.daemon)}, "pid": {process.pid or "null"}'
    )


def json_line(where: str, number: int, at: dt.datetime, who: str, line: StatusLine) -> str:
    """One JSON object, in ASCII, without a newline.

    Args:
        where: see `place`.
        number: of the line in its file, from 1.
        at: in UTC.
        who: see `process_keys`.
        line: what it says.
    """
    queue_id, recipient, original, relay_field, conn_use, delay, delays, dsn, status, text = line
    before, inside, setup, transmission = delays
    return (
        f'{where}{number}, "time": "{rfc3339(at)}", {who}, "queue_id": {_quoted(queue_id)},'
        f' "recipient": {_quoted(recipient)}, "original_recipient": {_quoted_or_null(original)},'
        f' {_relay_keys(relay_field)}, "conn_use": {"null" if conn_use is None else conn_use},'
        f' "delay_seconds": {delay}, "delays_seconds": [{before}, {inside}, {setup}, {transmission}],'
        f' "dsn": {_quoted(dsn)}, "status": {_quoted(status)}, "text": {_quoted(text)}}}'
    )


def rfc3339(at: dt.datetime) -> str:
    """A moment in UTC as RFC 3339 has it; with a fraction only where the log has one."""
    return f"{at.replace(tzinfo=None).isoformat()}Z"


@lru_cache(maxsize=4096)
def _relay_keys(field: str) -> str:
    host, ip, port = relay.take_apart(field)
    return (
        f'"relay": {_quoted(field)}, "relay_host": {_quoted_or_null(host)},'
        f' "relay_ip": {_quoted_or_null(ip)}, "relay_port": {"null" if port is None else port}'
    )


def _quoted_or_null(text: str | None) -> str:
    return "null" if text is None else _quoted(text)
