import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sendproof_postfix import configuration, postconf
from sendproof_postfix.configuration import Configuration, elements, service

NAMES = st.sampled_from(["smtpd_milters", "smtp_helo_name", "content_filter", "smtpd_banner"])
WORDS = st.text(alphabet="ab:/.,=", max_size=8) | st.sampled_from(["{unix:a,b=c}", "{ unix:a, b=c }", "$myhostname"])
VALUES = st.lists(WORDS, max_size=3).map(lambda words: " ".join(" ".join(words).split()))


def test_options_are_read_in_every_way_that_they_are_written() -> None:
    found = service("a  inet n - y - - smtpd -v -o x=1 -oy=2 -o { z = 3 4 } -o {u=v w} -o x=5 -o e=")
    assert found.options == {"x": "5", "y": "2", "z": "3 4", "u": "v w", "e": ""}
    assert found.key == "a/inet"
    assert found.command == "smtpd"
    assert service(found.line) == found


def test_an_option_is_set_once_at_its_place() -> None:
    found = service("a unix - - n - - smtp -o x=1 -v -o y=2 -o x=3")
    assert found.with_option("x", "9").arguments == ("-o x=9", "-v", "-o y=2")
    assert found.with_option("x", None).arguments == ("-v", "-o y=2")
    assert found.with_option("w", "a b").arguments[-1] == "-o { w = a b }"
    assert found.with_option("w", None) == found


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("", []),
        ("a, b\tc,,d", ["a", "b", "c", "d"]),
        ("unix:a { inet:b, default_action=accept }, c", ["unix:a", "{ inet:b, default_action=accept }", "c"]),
    ],
)
def test_a_list_is_cut_where_postfix_cuts_it(value: str, parts: list[str]) -> None:
    assert elements(value) == parts


def test_a_dash_in_the_chroot_column_is_the_default() -> None:
    dash, yes, no = (service(f"a inet n - {column} - - smtpd") for column in "-yn")
    assert [dash.chrooted(True), dash.chrooted(False)] == [True, False]
    assert [yes.chrooted(False), no.chrooted(True)] == [True, False]


def test_an_option_of_the_service_counts_before_main_cf() -> None:
    own = service("a inet n - n - - smtpd -o x=$y")
    found = Configuration({}, {own.key: own}, {}, {"x": "main", "z": "main"}, {own.key: {"x": "expanded"}})
    assert [found.value(own, "x"), found.value(own, "z"), found.value(own, "none")] == ["expanded", "main", ""]


@settings(max_examples=25, deadline=None)
@given(options=st.lists(st.tuples(NAMES, VALUES), max_size=4))
def test_postconf_reads_an_entry_as_we_wrote_it(
    tmp_path_factory: pytest.TempPathFactory, options: list[tuple[str, str]]
) -> None:
    directory = tmp_path_factory.mktemp("postfix")
    wished = service("x unix - - n - - smtp")
    for name, value in options:
        wished = wished.with_option(name, value)
    (directory / "main.cf").write_text("compatibility_level = 3.6\n")
    (directory / "master.cf").write_text(f"{wished.line}\n")
    postconf.age(directory)
    assert configuration.services(_postconf(directory, "-M")) == {wished.key: wished}
    assert configuration.service_parameters(_postconf(directory, "-P")).get(wished.key, {}) == wished.options


def _postconf(directory: Path, how: str) -> str:
    command = ["/usr/sbin/postconf", "-c", str(directory), how]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
