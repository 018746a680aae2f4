import json
import re
from pathlib import Path

import pytest
from flask import Flask

from sendproof_core.errors import UserError
from sendproof_testing.visitor import Visitor
from sendproof_web import assets

WEB = Path(__file__).parents[2] / "web"


def test_every_file_that_a_page_loads_is_there_and_may_be_kept(stranger: Visitor) -> None:
    page = stranger.get("/sign-in").text
    found = re.findall(r'(?:href|src|data-charts)="(/static/[^"]+)"', page)
    assert len(found) >= 5
    for path in found:
        with stranger.get(path) as answer:
            assert answer.status_code == 200
            assert "max-age=31536000" in answer.headers["Cache-Control"]
            assert "v=" in path


def test_what_the_stylesheet_imports_is_there_under_the_version_that_was_installed() -> None:
    style = (assets.FOLDER / "sendproof.css").read_text(encoding="utf-8")
    versions = json.loads((WEB / "package.json").read_text(encoding="utf-8"))["dependencies"]
    imported = dict(re.findall(r'@import url\("vendor/(\w+)\.min\.css\?v=([\d.]+)"\)', style))
    assert imported == {"pico": versions["@picocss/pico"], "uplot": versions["uplot"]}
    assert all((assets.FOLDER / "vendor" / f"{name}.min.css").is_file() for name in imported)


def test_every_file_of_others_stands_beside_its_licence() -> None:
    for name in assets.VENDOR:
        licence = assets.FOLDER / "vendor" / f"{Path(name).name.split('.')[0]}.LICENSE"
        assert licence.read_text(encoding="utf-8").strip()


def test_the_lock_file_holds_no_address_and_a_hash_for_everything() -> None:
    text = (WEB / "package-lock.json").read_text(encoding="utf-8")
    assert "://" not in text
    packages = json.loads(text)["packages"]
    assert len(packages) > 1
    assert all(package["integrity"].startswith("sha512-") for name, package in packages.items() if name)


def test_a_missing_file_is_a_sentence_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(assets, "FOLDER", tmp_path)
    with pytest.raises(UserError, match="run tools/install-web-assets"):
        assets.install(Flask(__name__))


def test_no_template_holds_a_script_or_a_style_of_its_own() -> None:
    """The policy that every page carries would stop it."""
    for path in (WEB / "sendproof_web" / "templates").glob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|hx-on|hx-vals=.js", text), path.name
        assert set(re.findall(r"<script(?![^>]*\ssrc=)[^>]*>", text)) <= {'<script type="application/json">'}, path.name


def test_no_template_switches_escaping_off() -> None:
    for path in (WEB / "sendproof_web" / "templates").glob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert "autoescape false" not in text
        # The provider's pages are made by markdown_pages, which lets no markup of the text through.
        if not path.name.startswith("pages"):
            assert not re.search(r"\|\s*safe\b", text), path.name
