import dataclasses
import datetime as dt

from sendproof_core import evidence_lines
from sendproof_core.states import RecipientState
from sendproof_core.transcripts import RecipientView
from sendproof_testing.transcript_values import AT, MESSAGE, attempt


def test_a_line_is_in_the_form_of_the_log_with_the_time_in_utc() -> None:
    took = attempt(
        at=AT.astimezone(dt.timezone(dt.timedelta(hours=5))), service="smtp", queue_id="4dDn",
        delay_seconds=936.4, delays_seconds=(0.04, 0.013, 0.32, 936.0), status="sent", dsn="2.0.0",
    )  # fmt: skip
    view = RecipientView(1, "team@own.example", "zoe@x.example", RecipientState.DELIVERED, AT, (took,), ())
    assert evidence_lines.written(MESSAGE, view) == (
        "2026-11-22T13:03:05.000Z edge1 postfix/smtp: 4dDn: to=<zoe@x.example>, orig_to=<team@own.example>, "
        "relay=mx.x.example[192.0.2.25]:25, delay=936, delays=0.04/0.013/0.32/936, dsn=2.0.0, status=sent "
        "(250 Ok: queued as 4Xy)",
    )


def test_what_the_record_does_not_have_is_not_made_up() -> None:
    message = dataclasses.replace(MESSAGE, host=None, queue_id=None)
    view = RecipientView(1, "a@x.example", None, RecipientState.DELIVERED, AT, (attempt(),), ())
    (line,) = evidence_lines.written(message, view)
    assert line.startswith("2026-11-22T13:03:05.000Z: ?: to=<a@x.example>, relay=")
    assert "orig_to" not in line
    assert "delays=" not in line
