"""How much guessing is allowed. Pure: `attempts` keeps the failures.

Against guessing one password: five failures for one login from one network in a quarter of an hour. Against guessing
with many networks: fifty for one login from everywhere. That limit alone would let anybody lock anybody out, so a
network from which the account signed in before is not held to it. Against one password for many logins: a hundred
failures from one network. Nobody is locked out for longer than the span.
"""

import datetime as dt
import enum
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_QUARTER = dt.timedelta(minutes=15)
_HOUR = dt.timedelta(hours=1)
_DAY = dt.timedelta(days=1)
# What is older than this counts for nothing.
LONGEST_SPAN = _DAY


class Kind(enum.StrEnum):
    """What is tried."""

    SIGN_IN = "sign-in"
    CODE = "code"
    RESET = "reset"
    SIGN_UP = "sign-up"
    CONFIRM = "confirm"


@dataclass(frozen=True)
class Guard:
    """So many failures in so long a time for the same ``who``.

    ``is_forgotten``: whether a success takes back all of them, not only the attempt that succeeded. Not where a guesser
    could succeed with a login of his own.
    """

    kind: Kind
    who: tuple[str, ...]
    failures: int
    span: dt.timedelta
    is_forgotten: bool = False


def sign_in(login: str, address: str, *, is_known: bool) -> tuple[Guard, ...]:
    """``is_known``: the account of that login signed in from this network before."""
    login, network = login.casefold(), network_of(address)
    guards = [Guard(Kind.SIGN_IN, ("login and network", login, network), 5, _QUARTER, is_forgotten=True)]
    if not is_known:
        guards.append(Guard(Kind.SIGN_IN, ("login", login), 50, _QUARTER))
    return (*guards, *_from_network(Kind.SIGN_IN, network, 100, _QUARTER))


def code(account_id: int) -> tuple[Guard, ...]:
    """The second factor. Who fails knows the password: its owner starts anew with another password."""
    who = ("account", str(account_id))
    return (
        Guard(Kind.CODE, who, 5, _QUARTER, is_forgotten=True),
        Guard(Kind.CODE, ("day of account", str(account_id)), 30, _DAY, is_forgotten=True),
    )


def of_account(account_id: int, login: str, address: str) -> tuple[Guard, ...]:
    """What a new password makes an end of: the failures of one account."""
    of_login = [guard for guard in sign_in(login, address, is_known=False) if "login" in guard.who[0]]
    return (*of_login, *code(account_id))


def reset(asked_for: str) -> tuple[Guard, ...]:
    """Letters to one person."""
    return (Guard(Kind.RESET, ("asked for", asked_for.casefold()), 3, _HOUR),)


def sign_up(address_key: str) -> tuple[Guard, ...]:
    """Letters to one address, which may be nobody's wish."""
    return (Guard(Kind.SIGN_UP, ("address", address_key), 3, _DAY),)


def confirm(account_id: int, address_key: str) -> tuple[Guard, ...]:
    """Letters that an account asks for, to addresses that are not its own yet."""
    return (
        Guard(Kind.CONFIRM, ("account", str(account_id)), 5, _HOUR),
        Guard(Kind.CONFIRM, ("address", address_key), 3, _DAY),
    )


def letters(kind: Kind, address: str) -> tuple[Guard, ...]:
    """Letters that one network may ask for."""
    return _from_network(kind, network_of(address), 20, _HOUR)


def wait(failed_at: Iterable[dt.datetime], guard: Guard, now: dt.datetime) -> dt.timedelta | None:
    """How long the next attempt must wait; None if it may be made."""
    recent = sorted(at for at in failed_at if now - at < guard.span)
    return recent[-guard.failures] + guard.span - now if len(recent) >= guard.failures else None


def network_of(address: str) -> str:
    """The /24 or /56 of a client: what one customer of an internet provider has at least."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return str(ipaddress.ip_network((parsed, 24 if parsed.version == 4 else 56), strict=False))


def is_known(address: str, before: Sequence[str]) -> bool:
    """Whether one of the addresses before is in the same network."""
    network = network_of(address)
    return bool(network) and any(network_of(other) == network for other in before)


def _from_network(kind: Kind, network: str, failures: int, span: dt.timedelta) -> tuple[Guard, ...]:
    # Behind a proxy that [web] trusted_proxies does not count, everybody seems to come from this machine.
    if not network or ipaddress.ip_network(network).is_loopback:
        return ()
    return (Guard(kind, ("network", network), failures, span),)
