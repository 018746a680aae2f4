"""The site as a Flask application: wires its parts; has no page of its own."""

import jinja2
from flask import Flask, redirect, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError, CSRFProtect  # type: ignore[import-untyped] # it has no types
from werkzeug.middleware.proxy_fix import ProxyFix

from sendproof_core import clock
from sendproof_core.clock import Clock
from sendproof_core.database import open_database
from sendproof_core.database_url import Program
from sendproof_core.journal import Journal
from sendproof_core.queue_times import QueueTimes
from sendproof_core.secrets_store import SecretsStore
from sendproof_core.settings import (
    DatabaseSettings,
    DnsSettings,
    SaslSettings,
    SecretsSettings,
    SettingsFile,
    SiteSettings,
    SubmissionSettings,
)
from sendproof_web import (
    access,
    account,
    assets,
    credentials,
    domains,
    error_pages,
    form_origin,
    guide,
    hand_over,
    health,
    hosts,
    locale,
    messages,
    notices,
    page_words,
    pages,
    pixel,
    preferences,
    provider,
    provider_accounts,
    provider_audit,
    provider_health,
    provider_plans,
    provider_queue,
    recovery,
    security,
    security_headers,
    sender_addresses,
    services,
    sessions,
    sign_in,
    sign_up,
    transcripts,
)
from sendproof_web.attempts import Attempts
from sendproof_web.settings import WebSettings

_PARTS = (
    locale, messages, transcripts, guide, hand_over, account, credentials, preferences, domains, sender_addresses,
    notices, security, sign_up, recovery, provider, provider_accounts, provider_plans, provider_queue,
    provider_health, provider_audit, pages, pixel, health,
)  # fmt: skip
_FORM_OCTETS = 64 * 1024
_STATIC_SECONDS = 365 * 86400


class _FormTokens(CSRFProtect):  # type: ignore[misc] # Flask-WTF has no types
    """Asks every form for its token; over HTTPS also where it comes from, which a client may answer with anything."""

    def protect(self, **how: bool) -> None:
        """Refuse what is not from a page of ours. ``how``: as Flask-WTF has it.

        Raises:
            CSRFError: it is not.
        """
        try:
            super().protect(**how)
        except ValueError:
            raise CSRFError("the Referer header is no address") from None


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
        PERMANENT_SESSION_LIFETIME=sessions.LIFETIME,
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
            # One more than threads: a provider's page reads while it writes, and somebody must always get on.
            database=open_database(settings_file.table(DatabaseSettings).url, Program.WEB, connections=web.threads + 1),
            journal=Journal(web.journal, synchronous=False),
            token_keys=secrets.token_keys(),
            queue_times=settings_file.table(QueueTimes),
            now=now,
            attempts=Attempts(secrets.site_key()),
            images=web.images,
            secrets=secrets,
            links_key=secrets.links_key(),
            site=site,
            web=web,
            dns=settings_file.table(DnsSettings),
            submission=settings_file.table(SubmissionSettings),
            passwd_file=settings_file.table(SaslSettings).passwd_file if "sasl" in settings_file.tables else None,
        ),
    )
    hosts.install(app, site)
    form_origin.install(app, site.url)
    csrf = _FormTokens(app)
    sign_in.install(app)
    security_headers.install(app, https=https)
    error_pages.install(app)
    page_words.install(app)
    assets.install(app)
    locale.install(app, csrf)
    access.install(app)
    for part in _PARTS:
        app.register_blueprint(part.blueprint)
    app.add_url_rule("/", "home", _home)
    return app


@access.public
def _home() -> ResponseReturnValue:
    return redirect(url_for("messages.index"))
