"""Talk to libmilter about one SMTP connection: collect octets, hand over the whole message, carry the verdict out.

Decides nothing. Callbacks must not raise: libmilter would lose its place in the session (a hang of five minutes, or a
message that passes as if nothing had happened), so each one records its failure and end-of-message answers 451.
"""

import ipaddress
import logging
import re
import threading
from collections.abc import Callable
from typing import Any, ClassVar, Concatenate, NamedTuple, ParamSpec, TypeVar

import Milter

from sendproof_core import clock
from sendproof_milter.edits import Edits
from sendproof_milter.message import MOST_HEADER_FIELDS, MOST_HEADER_OCTETS, Submission
from sendproof_milter.work import Refusal
from sendproof_milter.worker import RESUBMISSION_DAEMON, Pass, TryAgain, Worker

_log = logging.getLogger(__name__)
_libmilter = Milter.milter

# Read at MAIL FROM; libmilter keeps them for the later callbacks. Postfix: MILTER_README, "macros".
_MAIL_MACROS = "i {auth_authen} {daemon_name} {client_addr} {tls_version} {cipher}"
# What we do to messages; Postfix offers more.
_ACTIONS = Milter.ADDHDRS | Milter.CHGHDRS | Milter.MODBODY | Milter.SETSYMLIST
# Services whose mail is always ours; mail of other services is let through unless somebody signed in there.
OUR_DAEMONS = frozenset({"submission", "submissions", RESUBMISSION_DAEMON})

_XTEXT = re.compile(rb"\+([0-9A-F]{2})")
_EMBEDDED = re.compile(r"\\x\{((?:0?[0-9A-F]{2,5}|10[0-9A-F]{4}))\}")
P = ParamSpec("P")
S = TypeVar("S", bound="Session")


def _collects(callback: Callable[Concatenate[S, P], None]) -> Callable[Concatenate[S, P], Any]:
    """A callback that answers nothing (SMFIP_NR_*): an exception is kept for end-of-message."""

    def wrapper(self: S, /, *args: P.args, **kwargs: P.kwargs) -> Any:  # a libmilter constant
        try:
            callback(self, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - see the module's docstring
            self.failure = self.failure or type(error).__name__
        return _libmilter.NOREPLY if self.answers_nothing else Milter.CONTINUE

    return wrapper


class Activity:
    """How many sessions and messages this process has; read by whoever drains it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.sessions = 0
        self.messages_begun = 0
        self.messages_ended = 0
        # A message never came to its end: this process should be replaced.
        self.is_worn_out = False

    def wear_out(self) -> None:
        """Let the process be replaced before its share of messages is done."""
        self.is_worn_out = True

    def count(self, name: str, change: int) -> None:
        """Change one of the counters."""
        with self._lock:
            setattr(self, name, getattr(self, name) + change)


class Session:
    """One SMTP connection; many messages. State of a message begins anew at MAIL FROM."""

    # Set in each worker process before libmilter starts.
    worker: ClassVar[Worker]
    activity: ClassVar[Activity]
    message_seconds: ClassVar[float]

    def __init__(self, context: Any) -> None:  # a libmilter context, of pymilter's C module
        self._context = context
        # From the first callback on, which may be `close`: a probe connects and says nothing.
        self.activity.count("sessions", 1)
        self.answers_nothing = False
        self.failure: str | None = None
        self._client_address: str | None = None
        self._tls: str | None = None
        self._in_message = False
        self._begin_message()

    def negotiate(self, options: list[int]) -> int:
        """Ask for just the callbacks that we use, and for the macros that we read."""
        wanted = (
            _libmilter.P_NOHELO
            | _libmilter.P_NODATA
            | _libmilter.P_NOEOH
            | _libmilter.P_NOUNKNOWN
            | _libmilter.P_NR_CONN
            | _libmilter.P_NR_MAIL
            | _libmilter.P_NR_RCPT
            | _libmilter.P_NR_HDR
            | _libmilter.P_NR_BODY
        )
        offered = options[1]
        silent = _libmilter.P_NR_CONN | _libmilter.P_NR_MAIL | _libmilter.P_NR_RCPT
        silent |= _libmilter.P_NR_HDR | _libmilter.P_NR_BODY
        if offered & silent != silent:
            wanted &= ~silent
        self.answers_nothing = bool(offered & wanted & silent)
        options[0] &= _ACTIONS
        options[1] = offered & wanted
        options[2] = options[3] = 0
        # A str: pymilter's own wrapper passes octets, which its C side refuses.
        self._context.setsymlist(_libmilter.M_ENVFROM, _MAIL_MACROS)
        return Milter.CONTINUE

    @_collects
    def connect(self, _host: str, _family: int, address: Any) -> None:
        """The client's address: (host, port), a path, or None."""
        if isinstance(address, tuple):
            self._client_address = str(ipaddress.ip_address(address[0]))

    @_collects
    def envelope_sender(self, address: bytes, *parameters: bytes) -> None:
        """MAIL FROM: a new message."""
        self._end_message()
        self._begin_message()
        self._in_message = True
        self.activity.count("messages_begun", 1)
        self._sender = _address(address)
        self._smtputf8 = any(parameter.upper() == b"SMTPUTF8" for parameter in parameters)
        self._login = self._macro("{auth_authen}")
        self._daemon_name = self._macro("{daemon_name}")
        version, cipher = self._macro("{tls_version}"), self._macro("{cipher}")
        self._tls = f"{version} {cipher}" if version else None
        self._client_address = self._macro("{client_addr}") or self._client_address

    @_collects
    def envelope_recipient(self, address: bytes, *parameters: bytes) -> None:
        """RCPT TO: one that Postfix accepted."""
        given = {name.upper(): value for name, _, value in (parameter.partition(b"=") for parameter in parameters)}
        self._recipients.append(Recipient(_address(address), given.get(b"ORCPT", b""), given.get(b"NOTIFY", b"")))

    @_collects
    def header(self, name: str, value: bytes) -> None:
        """One header field; folds as newlines."""
        self._header_octets += len(name) + len(value)
        if self._header_octets > MOST_HEADER_OCTETS or len(self._headers) >= MOST_HEADER_FIELDS:
            self._header_dropped = True  # a field takes many times its octets here
            self._headers.clear()
        if not self._header_dropped:
            self._headers.append((name.encode("ascii", "surrogateescape"), value))

    @_collects
    def body(self, chunk: bytes) -> None:
        """A piece of the body."""
        self._chunks.append(chunk)

    def end_of_message(self) -> int:
        """The verdict, carried out."""
        queue_id = "?"
        try:
            queue_id = self._macro("i") or "?"
            return self._answer(queue_id)
        except Exception:  # noqa: BLE001 - around one message, which stays with its client
            _log.exception("queue_id=%s event=session-failed", queue_id)
            return Milter.TEMPFAIL
        finally:
            self._end_message()

    def abort(self) -> int:
        """The message ended before its end (RSET, a lost client). Nothing was charged yet."""
        self._end_message()
        return Milter.CONTINUE

    def close(self) -> int:
        """The connection is over."""
        self._end_message()
        self.activity.count("sessions", -1)
        return Milter.CONTINUE

    def _begin_message(self) -> None:
        self.failure = None
        self._tls = None
        self._sender = ""
        self._login = ""
        self._daemon_name = ""
        self._smtputf8 = False
        self._recipients: list[Recipient] = []
        self._headers: list[tuple[bytes, bytes]] = []
        self._header_octets = 0
        self._header_dropped = False
        self._chunks: list[bytes] = []

    def _end_message(self) -> None:
        if self._in_message:
            self._in_message = False
            self.activity.count("messages_ended", 1)

    def _macro(self, name: str) -> str:
        return self._context.getsymval(name) or ""

    def _answer(self, queue_id: str) -> int:
        if self.failure is not None:
            _log.error("queue_id=%s event=callback-failed error=%s", queue_id, self.failure)
            return self._try_again(TryAgain())
        if self._daemon_name not in OUR_DAEMONS and not self._login:
            return Milter.ACCEPT
        submission = Submission(
            login=self._login,
            daemon_name=self._daemon_name,
            queue_id=queue_id,
            client_address=self._client_address,
            client_tls=self._tls,
            envelope_sender=self._sender,
            recipients=_distinct(self._recipients),
            headers=tuple(self._headers),
            body=b"".join(self._chunks),
            received_at=clock.now(),
            original_recipients=tuple(filter(None, (recipient.original for recipient in self._recipients))),
            header_dropped=self._header_dropped,
            smtputf8=self._smtputf8,
        )
        self._chunks = []
        match self.worker.decide(submission, self.message_seconds):
            case Pass(discard=True):
                return Milter.DISCARD
            case Pass(work=work, edits=edits):
                try:
                    self._carry_out(edits)
                except Exception:
                    self.worker.take_back(work)  # the MTA is gone or refuses: it queues nothing
                    raise
                return Milter.CONTINUE
            case Refusal(code=code, dsn=dsn, text=text):
                # Postfix undoubles the percent signs.
                self._context.setreply(str(code), dsn, text.replace("%", "%%"))
                return Milter.REJECT if code >= 500 else Milter.TEMPFAIL
            case TryAgain() as again:
                if again.is_stuck:
                    self.activity.wear_out()
                return self._try_again(again)

    def _try_again(self, again: TryAgain) -> int:
        self._context.setreply("451", "4.7.1", again.text)
        return Milter.TEMPFAIL

    def _carry_out(self, edits: Edits) -> None:
        for field in edits.changed:
            self._context.chgheader(field.name, field.index, field.value)
        if edits.body is not None:
            self._context.replacebody(edits.body)
        for name, value in edits.inserted:
            self._context.addheader(name, value, 1)  # 0 would be above Postfix's own Received


class Recipient(NamedTuple):
    """A recipient as the client named it. ``orcpt`` and ``notify``: as written, empty if not given (RFC 3461)."""

    address: str
    orcpt: bytes
    notify: bytes

    @property
    def original(self) -> str:
        """The address in ORCPT; empty if there is none."""
        return _original(self.orcpt)


def _distinct(recipients: list[Recipient]) -> tuple[str, ...]:
    """Each recipient once for each copy that Postfix sends, as first written.

    Postfix folds case and nothing else: another spelling, ORCPT or NOTIFY of an address is another copy
    (cleanup/cleanup_out_recipient.c, global/been_here.c).
    """
    first: dict[tuple[str, bytes, frozenset[bytes]], str] = {}
    for address, orcpt, notify in recipients:
        key = address.casefold(), orcpt.lower(), frozenset(notify.upper().split(b","))
        first.setdefault(key, address)
    return tuple(first.values())


def _address(path: bytes) -> str:
    """The address in ``<...>``; octets that are no UTF-8 are kept as surrogates."""
    text = path.decode("utf-8", "surrogateescape")
    return text[1:-1] if text.startswith("<") and text.endswith(">") else text


def _original(orcpt: bytes) -> str:
    """The address in an ORCPT value: type, ";", address in xtext (RFC 3461 section 4.2); empty for another type."""
    kind, _, address = orcpt.partition(b";")
    if kind.lower() not in {b"rfc822", b"utf-8"}:
        return ""
    text = _XTEXT.sub(lambda found: bytes((int(found[1], 16),)), address).decode("utf-8", "surrogateescape")
    # RFC 6533 section 3: the other way to write what is no ASCII
    return _EMBEDDED.sub(lambda found: chr(int(found[1], 16)), text) if kind.lower() == b"utf-8" else text


def register(name: str, socket_path: str, backlog: int) -> None:
    """Tell libmilter our callbacks and open the socket. Once, before any fork."""
    lib = _libmilter

    def session(context: Any) -> Session:
        found = context.getpriv()
        if not isinstance(found, Session):
            found = Session(context)
            context.setpriv(found)
        return found

    def end_of_message(context: Any) -> int:
        try:
            return session(context).end_of_message()
        except Exception:  # noqa: BLE001 - the verdict is never left to the exception policy below
            _log.exception("event=session-failed")
            return Milter.TEMPFAIL

    lib.set_flags(_ACTIONS)
    lib.set_connect_callback(lambda context, *arguments: session(context).connect(*arguments))
    lib.set_envfrom_callback(lambda context, *arguments: session(context).envelope_sender(*arguments))
    lib.set_envrcpt_callback(lambda context, *arguments: session(context).envelope_recipient(*arguments))
    lib.set_header_callback(lambda context, *arguments: session(context).header(*arguments))
    lib.set_body_callback(lambda context, chunk: session(context).body(chunk))
    lib.set_eom_callback(end_of_message)
    lib.set_abort_callback(lambda context: session(context).abort())
    lib.set_close_callback(lambda context: _closed(context, session(context)))
    # Only for what pymilter itself cannot make of a callback's arguments, such as a field's name that is no UTF-8: that
    # callback is passed over. Any other answer where none is due would put the session out of order.
    lib.set_exception_policy(Milter.CONTINUE)
    lib.setconn(f"unix:{socket_path}")
    lib.setbacklog(backlog)
    lib.register(name, negotiate=lambda context, options: session(context).negotiate(options))
    lib.opensocket(True)


def _closed(context: Any, session: Session) -> int:
    verdict = session.close()
    context.setpriv(None)  # else context and session keep each other alive
    return verdict


def run() -> None:
    """Take sessions until the process ends."""
    _libmilter.main()
