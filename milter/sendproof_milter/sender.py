"""What the directory says about one login, as values: account, plan, domains, keys. Fetches nothing."""

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from sendproof_core.plans import QuotaLimits


@dataclass(frozen=True)
class SigningKey:
    """An active DKIM key, loaded. Its repr shows no key: cryptography's objects print none."""

    domain: str
    selector: str
    algorithm: str
    private_key: RSAPrivateKey


@dataclass(frozen=True)
class Sender:
    """An account as the milter sees it, by one of its credentials."""

    account_id: int
    login: str
    credential_label: str
    time_zone: str
    tracking: bool
    suspended_reason: str | None
    limits: QuotaLimits
    # Lower case; any address at one of them belongs to the account.
    domains: frozenset[str]
    # The account's own active keys, then the provider's.
    keys: tuple[SigningKey, ...]

    def owns(self, domain: str) -> bool:
        """Whether addresses at this domain belong to the account."""
        return domain in self.domains
