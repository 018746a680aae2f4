"""The addresses of the site's style, scripts and pictures: they change with the content; a browser keeps each for ever.

The files of others are not in the repository: tools/install-web-assets puts them into ``static/vendor``.
"""

import hashlib
from pathlib import Path

from flask import Flask, url_for

from sendproof_core.errors import UserError

FOLDER = Path(__file__).parent / "static"
# Loaded by sendproof.css and sendproof.js, or by the pages themselves.
VENDOR = ("vendor/htmx.min.js", "vendor/pico.min.css", "vendor/uplot.min.css", "vendor/uplot.min.js")


def install(app: Flask) -> None:
    """Give the templates ``asset('sendproof.css')``.

    Raises:
        UserError: files of others are missing; without them the pages are bare.
    """
    missing = [name for name in VENDOR if not (FOLDER / name).is_file()]
    if missing:
        raise UserError(f"The site's style and scripts are not complete ({missing[0]}): run tools/install-web-assets.")
    versions = {
        path.relative_to(FOLDER).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        for path in FOLDER.rglob("*")
        if path.is_file()
    }

    def asset(name: str) -> str:
        return url_for("static", filename=name, v=versions[name])

    app.jinja_env.globals["asset"] = asset
