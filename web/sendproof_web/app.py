"""The site as a Flask application: wires its parts; has no page of its own."""

import hashlib
from pathlib import Path

import jinja2
from flask import Flask, redirect, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFProtect  # type: ignore[import-untyped] # it has no types
from werkzeug.middleware.proxy_fix import ProxyFix

from sendproof_core import clock
from sendproof_core.clock import Clock
from sendproof_core.database import open_database
from sendproof_core.journal import Journal
from sendproof_core.queue_times import QueueTimes
from sendproof_core.secrets_store import SecretsStore
from sendproof_core.settings import DatabaseSettings, SecretsSettings, SettingsFile, SiteSettings
from sendproof_web import error_pages, health, messages, page_words, pixel, security_headers, services, sign_in
from sendproof_web.settings import WebSettings

_FORM_OCTETS = 64 * 1024
_STATIC_SECONDS = 365 * 86400


def create_app(settings_file: SettingsFile, *, now: Clock = clock.now) -> Flask:
    """The application of one process. Call it after any fork: it holds database connections.

    Raises:
        UserError: a setting or a secret is missing or wrong.
    """
    web, site = settings_file.table(WebSettings), settings_file.table(SiteSettings)
    secrets = SecretsStore(settings_file.table(SecretsSettings).directory)
    https = site.url.startswith("https://")

    app = Flask(__name__)
    app.config.update(
        SECRET_KEY=secrets.site_key(),
        MAX_CONTENT_LENGTH=_FORM_OCTETS,
        PERMANENT_SESSION_LIFETIME=sign_in.SESSION_LIFETIME,
        SEND_FILE_MAX_AGE_DEFAULT=_STATIC_SECONDS,
        # The __Host- prefix: no other host and no plain HTTP can set it.
        SESSION_COOKIE_NAME="__Host-sendproof" if https else "sendproof",
        SESSION_COOKIE_SECURE=https,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        # A cookie is set when somebody signs in, and by no other page: not by the pixel.
        SESSION_REFRESH_EACH_REQUEST=False,
        # A form stays good as long as its session.
        WTF_CSRF_TIME_LIMIT=None,
    )
    app.jinja_env.undefined = jinja2.StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    if web.trusted_proxies:
        count = web.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count)  # type: ignore[method-assign]

    services.install(
        app,
        services.Services(
            database=open_database(settings_file.table(DatabaseSettings).url),
            journal=Journal(web.journal, synchronous=False),
            token_keys=secrets.token_keys(),
            queue_times=settings_file.table(QueueTimes),
            now=now,
            sign_in_throttle=services.sign_in_throttle(),
            images=web.images,
        ),
    )
    CSRFProtect(app)
    sign_in.install(app)
    security_headers.install(app, https=https)
    error_pages.install(app)
    page_words.install(app, stylesheet_version=_version(Path(__file__).parent / "static" / "sendproof.css"))
    for part in (messages, pixel, health):
        app.register_blueprint(part.blueprint)
    app.add_url_rule("/", "home", _home)
    return app


def _home() -> ResponseReturnValue:
    return redirect(url_for("messages.index"))


def _version(path: Path) -> str:
    """Changes with the file, so that browsers may keep it for ever."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
