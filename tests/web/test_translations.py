"""The German catalogues say all that the code says. After a change: tools/update-translations."""

import re
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import read_po

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("web/sendproof_web", "notices/sendproof_notices")
_KEYWORDS = {**DEFAULT_KEYWORDS, "_l": None, "lazy_gettext": None, "lazy_ngettext": (1, 2)}
_LONE = re.compile(r"%(?![%(])(?<!%%)")
_PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]|%%|</?\w+")


def extracted(package: str) -> list[tuple[str, int, str | tuple[str, ...], list[str], str | None]]:
    """Everything in the code that is to be translated: where it stands, and the words."""
    with (REPOSITORY / "web" / "babel.cfg").open(encoding="utf-8") as file:
        methods, options = parse_mapping_cfg(file)  # type: ignore[no-untyped-call] # Babel has no types for it
    return list(
        extract_from_dir(
            str(REPOSITORY / package), methods, options, keywords=_KEYWORDS, directory_filter=lambda _: True
        )
    )


def catalogue(package: str) -> Catalog:
    with (REPOSITORY / package / "translations" / "de" / "LC_MESSAGES" / "messages.po").open("rb") as file:
        return read_po(file, locale="de")


def as_tuple(words: str | tuple[str, ...] | list[str] | None) -> tuple[str, ...]:
    return (words,) if isinstance(words, str) else tuple(words or ())


def problems(message: Message) -> list[str]:
    """What is wrong with one entry."""
    said, german = as_tuple(message.id), as_tuple(message.string)
    if message.fuzzy or not all(german):
        return [f"not translated: {said[0]}"]
    found = []
    for english, text in zip(said, german, strict=True):
        wanted, got = (sorted(_PLACEHOLDER.findall(one)) for one in (english, text))
        if wanted != got:
            found.append(f"{text!r} has {got}, not {wanted}")
        if (text[:1].isspace(), text[-1:].isspace()) != (said[-1][:1].isspace(), said[-1][-1:].isspace()):
            found.append(f"{text!r} begins or ends with another space")
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_the_german_catalogue_knows_every_word_of_the_code_and_no_other(package: str) -> None:
    known = {as_tuple(message.id) for message in catalogue(package) if message.id}
    said = {as_tuple(words) for _, _, words, _, _ in extracted(package)}
    assert sorted(said - known) == []
    assert sorted(known - said) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_word_of_a_template_holds_a_lone_percent_sign(package: str) -> None:
    """Templates format every word: "95 % are" would be taken for a placeholder. Write "95 %% are"."""
    found = [
        (source, words)
        for source, _, words, _, _ in extracted(package)
        if not source.endswith(".py")
        for text in as_tuple(words)
        if _LONE.search(text)
    ]
    assert found == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_word_is_translated_with_its_placeholders(package: str) -> None:
    assert [problem for message in catalogue(package) if message.id for problem in problems(message)] == []
