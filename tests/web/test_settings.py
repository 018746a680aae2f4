from pathlib import Path

import pytest

from sendproof_core.errors import UserError
from sendproof_web.settings import WebSettings


def listening(listen: str) -> WebSettings:
    return WebSettings(listen=listen, journal=Path("web.journal"))


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("127.0.0.1:8025", ("127.0.0.1", 8025)),
        ("localhost:80", ("localhost", 80)),
        ("[::1]:8025", ("::1", 8025)),
    ],
)
def test_an_address_has_a_host_and_a_port(listen: str, address: tuple[str, int]) -> None:
    assert listening(listen).address() == address


@pytest.mark.parametrize("listen", ["", "8025", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "::1:8025", "a b:1"])
def test_anything_else_is_refused_with_an_example(listen: str) -> None:
    with pytest.raises(UserError, match=r"such as 127\.0\.0\.1:8025"):
        listening(listen).address()
