"""A Postfix configuration as a value, read from what postconf(1) prints. Runs nothing, decides nothing."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

# The directory itself, which differs between a configuration and its copy; postconf prints it as if it were set.
_NO_SETTING = frozenset({"config_directory"})


@dataclass(frozen=True)
class Service:
    """One entry of master.cf (master(5))."""

    name: str
    kind: str
    fields: tuple[str, ...]  # private, unpriv, chroot, wakeup, maxproc
    command: str
    arguments: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """As postconf names it: ``submission/inet``."""
        return f"{self.name}/{self.kind}"

    @property
    def options(self) -> dict[str, str]:
        """The parameters that ``-o`` sets; the last of a name counts."""
        return {name: value for name, value in (_parameter(one) for one in self.arguments) if name}

    @property
    def line(self) -> str:
        """The entry as one line."""
        return " ".join((self.name, self.kind, *self.fields, self.command, *self.arguments))

    def chrooted(self, by_default: bool) -> bool:
        """Whether the process runs in a chroot (the queue directory)."""
        return by_default if self.fields[2] == "-" else self.fields[2] == "y"

    def with_option(self, name: str, value: str | None) -> "Service":
        """The same with the parameter set once, at its place or at the end; None takes it away."""
        written = () if value is None else (option(name, value),)
        places = [number for number, one in enumerate(self.arguments) if _parameter(one)[0] == name]
        if not places:
            return replace(self, arguments=self.arguments + written)
        kept = [one for number, one in enumerate(self.arguments) if number not in places[1:]]
        kept[places[0] : places[0] + 1] = written
        return replace(self, arguments=tuple(kept))


@dataclass(frozen=True)
class Configuration:
    """main.cf and master.cf as Postfix understands them."""

    explicit: Mapping[str, str]
    services: Mapping[str, Service]
    effective: Mapping[str, str] = field(default_factory=dict)
    # With $name expanded.
    expanded: Mapping[str, str] = field(default_factory=dict)
    expanded_options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    warnings: frozenset[str] = frozenset()

    def value(self, service: Service, parameter: str) -> str:
        """What the parameter is for this service, with $name expanded."""
        if parameter in service.options:
            return self.expanded_options.get(service.key, {}).get(parameter, service.options[parameter])
        return self.expanded.get(parameter, "")

    def same_settings(self, other: "Configuration") -> bool:
        """Whether both mean the same, however they are written."""
        return self.explicit == other.explicit and self.services == other.services


def option(name: str, value: str) -> str:
    """One ``-o`` argument; braces where the value holds blanks (Postfix 3.0)."""
    return f"-o {{ {name} = {value} }}" if re.search(r"\s", value) else f"-o {name}={value}"


def parameters(text: str) -> dict[str, str]:
    """``name = value`` lines of `postconf`."""
    found = (line.split(" =", 1) for line in text.splitlines() if " =" in line)
    return {name: value.strip() for name, value in found if name not in _NO_SETTING}


def service_parameters(text: str) -> dict[str, dict[str, str]]:
    """``service/type/name = value`` lines of `postconf -P`."""
    result: dict[str, dict[str, str]] = {}
    for path, value in parameters(text).items():
        service, _, name = path.rpartition("/")
        result.setdefault(service, {})[name] = value
    return result


def services(text: str) -> dict[str, Service]:
    """Lines of `postconf -M`, by ``name/type``."""
    found = (service(line) for line in text.splitlines() if line.strip())
    return {one.key: one for one in found}


def service(line: str) -> Service:
    """One entry of master.cf on one line.

    Raises:
        ValueError: it has fewer than eight fields.
    """
    words = _words(line)
    if len(words) < 8:
        raise ValueError(line)
    arguments: list[str] = []
    rest = iter(words[8:])
    for word in rest:
        if word.startswith("-o"):  # getopt(3): with a blank or without
            name, value = _parameter(f"-o {word[2:] or next(rest, '')}")
            arguments.append(option(name, value))
        else:
            arguments.append(word)
    return Service(words[0], words[1], tuple(words[2:7]), words[7], tuple(arguments))


def elements(value: str) -> list[str]:
    """The parts of a list, which blanks and commas separate; what is in braces is one part."""
    parts, depth = [""], 0
    for character in value:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth == 0 and character in ", \t\r\n":
            parts.append("")
        else:
            parts[-1] += character
    return [part for part in parts if part]


def _words(line: str) -> list[str]:
    # Only a brace that begins a word holds blanks (master(5)).
    words: list[str] = []
    rest = line.strip()
    while rest:
        if rest.startswith("{"):
            end = _closing(rest)
        else:
            found = re.search(r"\s", rest)
            end = found.start() if found else len(rest)
        words.append(rest[:end])
        rest = rest[end:].lstrip()
    return words


def _closing(text: str) -> int:
    depth = 0
    for number, character in enumerate(text):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth == 0:
            return number + 1
    return len(text)


def _parameter(argument: str) -> tuple[str, str]:
    if not argument.startswith("-o "):
        return "", ""
    text = argument[3:].strip()
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1]
    name, _, value = text.partition("=")
    return name.strip(), value.strip()
