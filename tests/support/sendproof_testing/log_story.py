"""A mail log and a journal in which much happens to few messages, for tests of the logparser. Values only."""

import datetime as dt
import uuid

from sendproof_core.journal_records import JournalRecord, Opened, Refused
from sendproof_testing.record_reading import NOW, admitted

_MX = "mx.example.net[192.0.2.1]:25"
# Two queue ids, one of them short and reused; interrupted and reused connections; a hold, an expiry, a deletion.
STORY = [
    "Nov 22 12:00:00 relay postfix/smtpd[3]: 4F5C64474F: client=localhost[127.0.0.1], sasl_method=PLAIN,"
    " sasl_username=max",
    "Nov 22 12:00:00 relay postfix/cleanup[4]: 4F5C64474F: message-id=<7f3c@own.example>",
    "Nov 22 12:00:00 relay postfix/qmgr[5]: 4F5C64474F: from=<max@own.example>, size=100, nrcpt=2 (queue active)",
    "Nov 22 12:00:01 relay postfix/smtp[7]: connect to mx0.example.net[192.0.2.9]:25: Connection refused",
    f"Nov 22 12:00:02 relay postfix/smtp[7]: < {_MX}: 220 mx",
    f"Nov 22 12:00:02 relay postfix/smtp[7]: > {_MX}: AUTH PLAIN c2VjcmV0",
    f"Nov 22 12:00:02 relay postfix/smtp[7]: > {_MX}: MAIL FROM:<max@own.example>",
    f"Nov 22 12:00:02 relay postfix/smtp[8]: < {_MX}: 220 mx",
    f"Nov 22 12:00:03 relay postfix/smtp[7]: 4F5C64474F: to=<a@example.net>, relay={_MX}, delay=3,"
    " delays=0/0/0/3, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 5F5C64474F)",
    f"Nov 22 12:00:03 relay postfix/smtp[8]: 4F5C64474F: to=<b@example.net>, orig_to=<bob@own.example>, relay={_MX},"
    " delay=3, delays=0/0/0/3, dsn=4.2.0, status=deferred (host mx said: 450 later)",
    f"Nov 22 12:00:03 relay postfix/smtp[7]: > {_MX}: RSET",
    "Nov 22 12:05:00 relay postfix/qmgr[5]: 4F5C64474F: from=<max@own.example>, status=expired, returned to sender",
    "Nov 22 12:05:00 relay postfix/cleanup[4]: 4jXGhv3rKyzJLdy: message-id=<4jXGhv3rKyzJLdy@relay.example>",
    "Nov 22 12:05:00 relay postfix/bounce[6]: 4F5C64474F: sender non-delivery notification: 4jXGhv3rKyzJLdy",
    "Nov 22 12:05:00 relay postfix/qmgr[5]: 4F5C64474F: removed",
    "Nov 22 12:06:00 relay postfix/smtpd[3]: 4F5C64474F: client=localhost[127.0.0.1]",
    "Nov 22 12:06:00 relay postfix/cleanup[4]: 4F5C64474F: milter-hold: END-OF-MESSAGE from localhost[127.0.0.1]: held",
    "Nov 22 12:07:00 relay postfix/postsuper[9]: 4F5C64474F: released from hold",
    f"Nov 22 12:07:01 relay postfix/smtp[7]: > {_MX}: MAIL FROM:<max@own.example>",
    f"Nov 22 12:07:01 relay postfix/smtp[7]: 4F5C64474F: to=<c@example.net>, relay={_MX}, conn_use=2, delay=3,"
    " delays=0/0/0/3, dsn=4.0.0, status=deferred (host mx said: 450 later)",
    f"Nov 22 12:07:01 relay postfix/smtp[7]: > {_MX}: QUIT",
    "Nov 22 12:08:00 relay postfix/postsuper[9]: 4F5C64474F: removed",
    "Nov 22 12:08:00 relay postfix/qmgr[5]: 4F5C64474F: words of a later version",
]
_HELD_AT = dt.datetime(2026, 11, 22, 12, 6, 0, 500_000, dt.UTC)
NOTES: list[JournalRecord] = [
    admitted("4F5C64474F", "a@example.net", "bob@own.example"),
    admitted("4F5C64474F", "c@example.net", "d@example.net", number=2, at=_HELD_AT),
    Opened(at=NOW, message_id=uuid.UUID(int=1), recipient_number=1, grade="proxy", user_agent="Mozilla/5.0"),
    Refused(
        at=NOW, host="relay.example", queue_id="4F5C64474F", account_id=1, login="max",
        envelope_sender="max@own.example", recipients=("anna@example.net",),
        subject=None, reason="quota", reply="452 4.7.1 Over the limit",
    ),
]  # fmt: skip
