"""What Debian wants to read in a package: changelog and copyright, also of the packages inside. Writes no file."""

import datetime as dt
import email.utils
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

_HEAD = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: Sendproof
Comment: The environment in {home} holds Python packages of others, unchanged but for their tests;
 the licence that each names is here, its text in the package's own folder *.dist-info.

Files: *
Copyright: 2026 the authors of Sendproof
License: GPL-3.0-or-later

Files: {home}/lib/python3*/site-packages/sendproof_web/static/vendor/*
Copyright: the authors of Pico CSS, htmx and uPlot
License: MIT-and-0BSD
 Pico CSS and uPlot: MIT; htmx: 0BSD. The texts are beside the files, as *.LICENSE.
"""
_TAIL = """
License: GPL-3.0-or-later
 This program is free software: you can redistribute it and/or modify it under the terms of the GNU General Public
 License as published by the Free Software Foundation, either version 3 of the License, or (at your option) any later
 version.
 .
 On Debian systems the text of the GNU General Public License version 3 is in /usr/share/common-licenses/GPL-3.
"""


def changelog(version: str, epoch: int, maintainer: str) -> str:
    """One entry; what changed for operators is in the other changelog."""
    when = email.utils.format_datetime(dt.datetime.fromtimestamp(epoch, dt.UTC))
    return f"sendproof ({version}) unstable; urgency=medium\n\n  * See changelog.gz.\n\n -- {maintainer}  {when}\n"


def copyright_text(site_packages: Path, home: str) -> str:
    """Ours, and that of each Python package in this folder."""
    parts = [_HEAD.format(home=home)]
    for path in sorted(site_packages.glob("*.dist-info/METADATA")):
        metadata = HeaderParser().parsestr(path.read_text(encoding="utf-8"))
        name = str(metadata["Name"])
        if name == "sendproof":
            continue
        author = (
            metadata["Author"] or metadata["Author-email"] or metadata["Maintainer-email"] or f"the authors of {name}"
        )
        parts.append(
            f"\nFiles: {home}/lib/python3*/site-packages/{path.parent.name}/*\n"
            f"Copyright: {_one_line(author)}\n"
            f"License: {name}\n {name} {metadata['Version']}: {_licence(metadata)}\n"
        )
    return "".join(parts) + _TAIL


def _licence(metadata: Message) -> str:
    """What the package says of itself: an SPDX expression, classifiers, or the first line of a text."""
    if expression := metadata["License-Expression"]:
        return _one_line(expression)
    classifiers = metadata.get_all("Classifier") or []
    named = [one.rpartition(" :: ")[2] for one in classifiers if one.startswith("License :: ") and one.count("::") > 1]
    if named:
        return ", ".join(named)
    return _one_line(str(metadata["License"] or "see its folder").strip().partition("\n")[0])


def _one_line(text: str) -> str:
    return " ".join(str(text).split())
