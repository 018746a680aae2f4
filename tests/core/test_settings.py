import tomllib
import typing
from dataclasses import dataclass
from pathlib import Path

import pytest

from sendproof_core import settings
from sendproof_core.errors import UserError
from sendproof_core.settings import DnsSettings, SettingsFile, SiteSettings, SubmissionSettings, load, setting


@dataclass(frozen=True, kw_only=True)
class _Relay:
    TABLE: typing.ClassVar = "relay"
    host: str = setting("Where mail goes.")
    port: int = setting("Its port.", default=25, at_least=1, at_most=65535)
    patience: float = setting("Seconds.", default=1.5, at_least=0)
    verify: bool = setting("Whether to check.", default=True)
    folder: Path | None = setting("Where things are kept.", default=None)
    names: tuple[str, ...] = setting("Other names.", default=())
    files: tuple[Path, ...] = setting("Files.", default=())
    mode: str = setting("How.", default="slow", choices=("slow", "fast"))


def _read(text: str) -> _Relay:
    return SettingsFile(Path("sendproof.toml"), tomllib.loads(text)).table(_Relay)


def _why_not(text: str) -> str:
    with pytest.raises(UserError) as caught:
        _read(text)
    return str(caught.value)


def test_what_is_not_given_has_its_default() -> None:
    assert _read('[relay]\nhost = "a"') == _Relay(host="a")


def test_every_kind_of_value_arrives_as_its_type() -> None:
    text = """
[relay]
host = "a"
port = 587
patience = 2
verify = false
folder = "/var/lib"
names = ["b", "c"]
files = ["/x"]
mode = "fast"
"""
    relay = _read(text)
    assert relay == _Relay(
        host="a",
        port=587,
        patience=2.0,
        verify=False,
        folder=Path("/var/lib"),
        names=("b", "c"),
        files=(Path("/x"),),
        mode="fast",
    )
    assert type(relay.patience) is float


def test_other_tables_are_other_components_business() -> None:
    assert _read('[web]\nport = "x"\n[relay]\nhost = "a"').host == "a"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("port = true", "[relay] port must be a whole number, not True. Its port."),
        ('port = "25"', "[relay] port must be a whole number, not '25'"),
        ("port = 25.0", "[relay] port must be a whole number"),
        ("port = 0", "[relay] port must be between 1 and 65535, not 0."),
        ("port = 65536", "[relay] port must be between 1 and 65535, not 65536."),
        ("patience = -0.1", "[relay] patience must be at least 0"),
        ("patience = nan", "[relay] patience must be at least 0, not nan."),
        ('patience = "1"', "[relay] patience must be a number"),
        ("verify = 1", "[relay] verify must be true or false, not 1"),
        ("folder = 1", "[relay] folder must be a path, not 1"),
        ('names = "b"', "[relay] names must be a list of strings."),
        ("names = [1]", "[relay] names must be a list of strings."),
        ('mode = "medium"', "[relay] mode must be one of slow, fast, not 'medium'."),
        ("prot = 25", "[relay] has no setting 'prot'; it knows: files, folder, host,"),
    ],
)
def test_a_wrong_value_is_named_with_what_would_be_right(line: str, said: str) -> None:
    assert said in _why_not(f'[relay]\nhost = "a"\n{line}')


def test_what_is_required_is_said_with_its_sentence() -> None:
    assert _why_not("") == "sendproof.toml: [relay] lacks 'host'. Where mail goes."


def test_a_value_in_the_place_of_a_table() -> None:
    assert _why_not("relay = 1") == "sendproof.toml: relay must be a table, written [relay]."


def test_a_file_that_is_missing_unreadable_or_no_toml(tmp_path: Path) -> None:
    for content, said in [(None, "does not exist"), (b"\xff", "cannot be read"), (b"[relay", "is not valid TOML")]:
        path = tmp_path / "sendproof.toml"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UserError, match=said) as caught:
            load(path)
        assert str(path) in str(caught.value)
    with pytest.raises(UserError, match="cannot be read"):
        load(tmp_path)


def test_a_file_is_read_as_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "sendproof.toml"
    path.write_text('[relay]\nhost = "müller.example"', encoding="utf-8")
    assert load(path).table(_Relay).host == "müller.example"


@pytest.mark.parametrize(
    "address", ["", "x", "http://x y", "http://é", "javascript:alert(1)", "http://x/", "http://x\\u0000"]
)
def test_an_address_that_no_mail_reader_could_use_is_refused(tmp_path: Path, address: str) -> None:
    path = tmp_path / "sendproof.toml"
    path.write_text(f'[site]\nurl = "https://mail.example"\ntracking_url = "{address}"\n', encoding="utf-8")
    with pytest.raises(UserError, match="tracking_url"):
        load(path).table(SiteSettings)


@pytest.mark.parametrize(
    "line", ['host = "a\\u0000"', 'host = "a"\nfolder = "/a\\u0000"', 'host = "a"\nfiles = ["/a\\u0000"]']
)
def test_a_control_character_is_refused_wherever_text_may_stand(line: str) -> None:
    with pytest.raises(UserError, match="control characters"):
        _read(f"[relay]\n{line}")


def _dns(text: str) -> DnsSettings:
    return SettingsFile(Path("sendproof.toml"), tomllib.loads(f"[dns]\n{text}")).table(DnsSettings)


def test_what_is_asked_of_dns() -> None:
    assert _dns("") == DnsSettings(servers=(), timeout_seconds=5.0, dkim_zone=None, spf_include=None)
    found = _dns('servers = ["127.0.0.1:5353"]\ndkim_zone = "keys.relay.example"\nspf_include = "_spf.relay.example"')
    assert (found.servers, found.dkim_zone) == (("127.0.0.1:5353",), "keys.relay.example")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", ("192.0.2.1", 53)),
        ("192.0.2.1:5353", ("192.0.2.1", 5353)),
        ("[2001:db8::1]:53", ("2001:db8::1", 53)),
        ("[::1]", ("::1", 53)),
        ("::1", ("::1", 53)),
    ],
)
def test_a_name_server_is_an_address_and_perhaps_a_port(text: str, address: tuple[str, int]) -> None:
    assert settings.server_address(text) == address


@pytest.mark.parametrize("text", ["", "ns.example", "192.0.2.256", "192.0.2.1:0", "192.0.2.1:65536", "[::1]:", ":53"])
def test_what_is_no_name_server_is_named(text: str) -> None:
    with pytest.raises(UserError, match=r"\[dns\] servers: .* is no address"):
        _dns(f'servers = ["{text}"]')


@pytest.mark.parametrize("name", ["keys", "keys.relay.example.", "Keys.relay.example", "a b.example", ""])
def test_a_zone_is_a_domain_name(name: str) -> None:
    with pytest.raises(UserError, match=r"\[dns\] dkim_zone must be a domain name"):
        _dns(f'dkim_zone = "{name}"')


def test_what_people_enter_in_their_mail_program() -> None:
    assert SubmissionSettings() == SubmissionSettings(host=None, tls_port=465, starttls_port=587)
    with pytest.raises(UserError, match=r"\[submission\] host must be a host name"):
        SubmissionSettings(host="mail.example <b>")
