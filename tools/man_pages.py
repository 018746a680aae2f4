"""The manual in roff (man(7)), from what the commands and the settings say of themselves. Writes no file.

`sendproof`(1) and a page for each of its commands, `sendproof.toml`(5), and the programs in section 8.
"""

import datetime as dt
import importlib
import re
import tomllib
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

import click
import settings_page

from sendproof_core import cli

_PROGRAMS = Path(__file__).resolve().parents[1] / "packaging" / "man" / "programs.toml"
_QUOTED = re.compile(r"``?([^`]+)``?")
_EXIT = "0: done. 2: something is wrong that you can mend; one sentence on standard error says what."


@dataclass(frozen=True)
class Page:
    """One page. ``name``: as one asks for it, without its section."""

    name: str
    section: int
    text: str


def pages(day: dt.date, version: str) -> list[Page]:
    """The whole manual. ``day`` and ``version`` stand in each page's footer."""
    groups = sorted(cli.root.commands.items())
    made = [_page("sendproof", 1, _root(groups), day, version)]
    made += [_page(f"sendproof-{name}", 1, _command(name, command), day, version) for name, command in groups]
    made.append(_page("sendproof.toml", 5, _settings(), day, version))
    made += [_page(name, 8, _program(name, words), day, version) for name, words in _programs().items()]
    return made


def _page(name: str, section: int, lines: Iterator[str], day: dt.date, version: str) -> Page:
    head = f'.TH "{_text(name).upper()}" "{section}" "{day}" "Sendproof {version}" "Sendproof"'
    return Page(name, section, "\n".join((head, ".nh", ".ad l", *lines)) + "\n")


def _root(groups: list[tuple[str, click.Command]]) -> Iterator[str]:
    context = click.Context(cli.root, info_name="sendproof")
    yield from _name("sendproof", cli.root)
    yield from ('.SH "SYNOPSIS"', _synopsis("sendproof", cli.root, context))
    yield '.SH "DESCRIPTION"'
    yield from _paragraphs(cli.root.help or "")
    yield from _options(cli.root, context)
    yield '.SH "COMMANDS"'
    for name, command in groups:
        yield from (".TP", f"\\fBsendproof\\-{_text(name)}\\fP(1)", _text(command.get_short_help_str(limit=300)))
    yield '.SH "FILES"'
    yield from (".TP", "\\fI/etc/sendproof/sendproof.toml\\fP", "Settings; \\fBsendproof.toml\\fP(5) has them all.")
    yield '.SH "EXIT STATUS"'
    yield _text(_EXIT)
    others = ", ".join(f"\\fB{_text(name)}\\fP(8)" for name in _programs())
    yield from ('.SH "SEE ALSO"', f"\\fBsendproof.toml\\fP(5), {others}, \\fBpostconf\\fP(5), \\fBmaster\\fP(5)")


def _command(name: str, command: click.Command) -> Iterator[str]:
    full = f"sendproof {name}"
    context = click.Context(command, info_name=full)
    yield from _name(f"sendproof-{name}", command)
    yield '.SH "SYNOPSIS"'
    if not isinstance(command, click.Group):
        yield _synopsis(full, command, context)
        yield '.SH "DESCRIPTION"'
        yield from _paragraphs(command.help or "")
        yield from _options(command, context)
    else:
        yield f"\\fB{_text(full)}\\fP \\fICOMMAND\\fP [\\fIOPTIONS\\fP] [\\fIARGUMENTS\\fP]"
        yield '.SH "DESCRIPTION"'
        yield from _paragraphs(command.help or "")
        yield '.SH "COMMANDS"'
        yield from _subcommands(full, command)
    yield '.SH "EXIT STATUS"'
    yield _text(_EXIT)
    yield from ('.SH "SEE ALSO"', "\\fBsendproof\\fP(1), \\fBsendproof.toml\\fP(5)")


def _subcommands(full: str, group: click.Group) -> Iterator[str]:
    for name, command in sorted(group.commands.items()):
        words = f"{full} {name}"
        if isinstance(command, click.Group):
            yield from _subcommands(words, command)
            continue
        context = click.Context(command, info_name=words)
        yield ".SS"
        yield _synopsis(words, command, context)
        yield from _paragraphs(command.help or "")
        yield from _option_list(command, context)


def _settings() -> Iterator[str]:
    yield from ('.SH "NAME"', "sendproof.toml \\- settings of Sendproof")
    yield from ('.SH "SYNOPSIS"', "\\fI/etc/sendproof/sendproof.toml\\fP")
    yield '.SH "DESCRIPTION"'
    yield from _paragraphs(settings_page.HEAD.partition("\n\n")[2].rpartition(" `tools/")[0])
    yield from _paragraphs("A change takes effect when the programs are started again. The format is TOML.")
    for kind in settings_page.TABLES:
        table = typing.cast("str", vars(kind)["TABLE"])
        yield f'.SH "[{_text(table)}]"'
        if kind.__doc__ and not kind.__doc__.startswith(f"{kind.__name__}("):
            yield from _paragraphs(kind.__doc__.partition("\n")[0])
        for row in settings_page.rows(kind):
            yield from (
                ".TP",
                f"\\fB{_text(row.name)}\\fP ({_text(row.kind)}, {_text(row.default)})",
                _text(row.meaning),
            )
    yield from ('.SH "SEE ALSO"', "\\fBsendproof\\fP(1)")


def _program(name: str, words: dict[str, str]) -> Iterator[str]:
    entry_point = distribution("sendproof").entry_points.select(group="console_scripts", name=name)
    module = importlib.import_module(next(iter(entry_point)).module)
    command = next(value for value in vars(module).values() if isinstance(value, click.Command))
    context = click.Context(command, info_name=name)
    yield from ('.SH "NAME"', f"{_text(name)} \\- {_text(words['does'])}")
    yield from ('.SH "SYNOPSIS"', _synopsis(name, command, context))
    yield '.SH "DESCRIPTION"'
    yield from _paragraphs(words["description"])
    yield from _options(command, context)
    yield '.SH "SIGNALS"'
    yield from _paragraphs(words["signals"])
    yield '.SH "EXIT STATUS"'
    yield _text(_EXIT)
    yield from ('.SH "SEE ALSO"', "\\fBsendproof\\fP(1), \\fBsendproof.toml\\fP(5), \\fBsystemd.service\\fP(5)")


def _programs() -> dict[str, dict[str, str]]:
    return tomllib.loads(_PROGRAMS.read_text(encoding="utf-8"))


def _name(name: str, command: click.Command) -> Iterator[str]:
    said = command.get_short_help_str(limit=300).removeprefix("Sendproof: ").rstrip(".")
    yield from ('.SH "NAME"', f"{_text(name)} \\- {_text(said[:1].lower() + said[1:])}")


def _synopsis(words: str, command: click.Command, context: click.Context) -> str:
    pieces = " ".join(f"\\fI{_text(piece)}\\fP" for piece in command.collect_usage_pieces(context))
    return f"\\fB{_text(words)}\\fP {pieces}"


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    yield '.SH "OPTIONS"'
    yield from _option_list(command, context)


def _option_list(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            yield from (".TP", f"\\fB{_text(record[0])}\\fP", _text(record[1]) or "\\&")


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", _dedent(text).strip()):
        if paragraph.startswith("\b"):
            yield from (".PP", ".nf", *(_text(line) for line in paragraph.splitlines()[1:]), ".fi")
        else:
            yield from (".PP", _text(" ".join(paragraph.split())))


def _dedent(text: str) -> str:
    return "\n".join(line.strip() for line in text.splitlines())


def _text(text: str) -> str:
    """Escaped for roff; what stands in backquotes is bold."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("\b", "")
    escaped = _QUOTED.sub(r"\\fB\1\\fP", escaped)
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
