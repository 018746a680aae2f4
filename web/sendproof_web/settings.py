"""``[web]`` in sendproof.toml."""

import re
import typing
import zoneinfo
from dataclasses import dataclass
from pathlib import Path

from sendproof_core.errors import UserError
from sendproof_core.settings import setting

_LISTEN = re.compile(r"(?:\[(?P<bracketed>[0-9A-Fa-f:.]+)\]|(?P<plain>[^:\[\]\s]+)):(?P<port>\d{1,5})")


@dataclass(frozen=True, kw_only=True)
class WebSettings:
    """How the site runs."""

    TABLE: typing.ClassVar = "web"
    listen: str = setting("Address and port, such as 127.0.0.1:8025 or [::1]:8025; put a TLS proxy before it.")
    journal: Path = setting("The site's journal of opened messages; the logparser reads it.")
    images: Path | None = setting(
        "Folder with the pictures that accounts may show instead of the pixel (`account change --tracking-image`).",
        default=None,
    )
    workers: int = setting("Processes that answer requests.", default=2, at_least=1, at_most=64)
    threads: int = setting("Requests that one process answers at once.", default=8, at_least=1, at_most=64)
    trusted_proxies: int = setting(
        "How many proxies stand before the site: so many entries of X-Forwarded-For are believed.",
        default=0,
        at_least=0,
        at_most=5,
    )
    sign_up: str = setting(
        "Who may make an account on the site: everybody, who was invited (`sendproof web invite`), or nobody.",
        default="closed",
        choices=("open", "invitation", "closed"),
    )
    sign_up_plan: str | None = setting("The plan of who signs up without an invitation.", default=None)
    sign_up_time_zone: str = setting(
        "The time zone that the sign-up form proposes, such as Europe/Vienna.", default="UTC"
    )
    provider_needs_second_factor: bool = setting(
        "Whether accounts of the provider must set up a second factor before they see the provider's pages.",
        default=True,
    )

    def __post_init__(self) -> None:
        """Raise UserError for an open sign-up without a plan, and for a time zone that does not exist."""
        if self.sign_up == "open" and self.sign_up_plan is None:
            raise UserError('[web] sign_up = "open" needs sign_up_plan: the name of the plan that new accounts have.')
        if self.sign_up_time_zone not in zoneinfo.available_timezones():
            raise UserError(f"[web] sign_up_time_zone: there is no {self.sign_up_time_zone!r}; try Europe/Vienna.")

    def address(self) -> tuple[str, int]:
        """Host and port of ``listen``.

        Raises:
            UserError: it is not of that form.
        """
        found = _LISTEN.fullmatch(self.listen)
        if found is None or not 0 < int(found["port"]) < 65536:
            raise UserError(f"[web] listen must be an address and a port, such as 127.0.0.1:8025, not {self.listen!r}.")
        return found["bracketed"] or found["plain"], int(found["port"])
