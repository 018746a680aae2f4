"""What the directory says about one login, as values: account, plan, addresses, keys. Fetches nothing."""

from dataclasses import dataclass

from sendproof_core.addresses import address_key
from sendproof_core.dkim_keys import SigningPrivateKey
from sendproof_core.plans import QuotaLimits
from sendproof_milter.message import domain_of


@dataclass(frozen=True)
class SigningKey:
    """An active DKIM key, loaded. Its repr shows no key: cryptography's objects print none."""

    domain: str
    selector: str
    algorithm: str
    private_key: SigningPrivateKey


@dataclass(frozen=True)
class Sender:
    """An account as the milter sees it, by one of its credentials."""

    account_id: int
    # Empty where nobody signed in: on a message's second pass.
    login: str
    credential_label: str
    time_zone: str
    tracking: bool
    suspended_reason: str | None
    limits: QuotaLimits
    # As A-labels; any address at one of them belongs to the account.
    domains: frozenset[str]
    # The account's own active keys, of all its domains.
    keys: tuple[SigningKey, ...]
    provider_keys: tuple[SigningKey, ...]
    # `addresses.address_key` of each address at a foreign domain that the account may send as.
    own_addresses: frozenset[str] = frozenset()
    test_mode: bool = False
    shared_pixel: bool = False
    tracking_image: str | None = None
    # Who opens may be written down, not only the grade.
    open_details: bool = False

    def may_use(self, address: str) -> bool:
        """Whether the address belongs to the account."""
        domain = domain_of(address)
        if domain in self.domains:
            return True
        return address_key(f"{address.rpartition('@')[0]}@{domain}") in self.own_addresses
