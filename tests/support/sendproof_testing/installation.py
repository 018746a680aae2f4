"""Lay a private installation out in a folder: render every template, seed the database. Starts nothing."""

import datetime as dt
import enum
import grp
import os
import pwd
import re
import secrets as random_source
import shutil
from dataclasses import dataclass
from pathlib import Path

import jinja2
from sqlalchemy.orm import Session

from sendproof_core import directory, schema_version, settings
from sendproof_core.addresses import address_key
from sendproof_core.database import Database, open_database
from sendproof_core.errors import UserError
from sendproof_core.plans import QuotaLimits
from sendproof_core.schema import Account
from sendproof_core.secrets_store import SecretsStore
from sendproof_core.states import KeyState
from sendproof_postfix.apply import apply
from sendproof_postfix.plan import Instance
from sendproof_testing import certificates, pictures
from sendproof_testing.ports import PortBlock

_TEMPLATES = Path(__file__).parent / "templates"
HOSTNAME = "edge1.relay.example"
PROVIDER_DOMAIN = "relay.example"
NOTICES_DOMAIN = "notices.relay.example"
OWN_DOMAIN = "own.example"
SELECTOR = "sp1"
LOGIN = "max"
# A second customer, and the person at the provider who sees everybody's account.
OTHER, OTHER_DOMAIN = "eva", "eva.example"
PROVIDER_LOGIN = "boss"
PROVIDER_OFFICE = "office.relay.example"
# Into the one customers publish CNAMEs, the other they include in their SPF record.
DKIM_ZONE = "dkim.relay.example"
SPF_INCLUDE = "spf.relay.example"
PICTURE = "logo.png"

# What the receiving servers do, by the domain of the recipient. Any other domain is taken like `ACCEPT`.
ACCEPT = "accept.example"
GREYLIST = "greylist.example"
REFUSE = "refuse.example"
UNREACHABLE = "unreachable.example"
# Takes mail, and does not know 8BITMIME.
SEVEN_BIT = "seven-bit.example"
# Says whatever a test has it say, while the test runs a server there (`scripted_mx`).
SCRIPTED = "scripted.example"


class Keys(enum.StrEnum):
    """Which domains have an active DKIM key."""

    OWN = "own"
    PROVIDER = "provider"
    BOTH = "both"


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a sandbox differs from the ordinary one.

    ``joins``: another installation, of which this one is a further edge: the same database and secrets, its site, its
    logins, its receiving servers. ``schema``: the revision of the database. ``operators_master``: what the operator's
    master.cf has besides, before Sendproof comes; ``{port}`` in it: where users submit; ``{certificate}``, ``{key}``.
    """

    hostname: str = HOSTNAME
    joins: "Installation | None" = None
    keys: Keys = Keys.BOTH
    recipients_per_day: int = 1_000_000
    tracking: bool = True
    time_zone: str = "UTC"
    notice_address: str | None = f"{LOGIN}@{OWN_DOMAIN}"
    database_url: str | None = None
    schema: str = "head"
    base_port: int | None = None
    greylist_seconds: int = 3
    minimal_backoff_seconds: int = 4
    maximal_backoff_seconds: int = 60
    queue_run_seconds: int = 2
    lifetime_seconds: int = 432_000
    keeper_seconds: int = 2
    quota_when_unavailable: str = "tempfail"
    sign_up: str = "open"
    open_details: bool = False
    operators_master: str = ""


@dataclass(frozen=True)
class Login:
    """Who a client signs in as; the password opens the site, too."""

    login: str
    password: str
    address: str


class Installation:
    """Files, ports and logins of one sandbox."""

    def __init__(self, home: Path, options: Options, ports: PortBlock, now: dt.datetime) -> None:
        self.home = home
        self.options = options
        self.submission_port = ports.take()
        self.submissions_port = ports.take()
        self.mx_port = ports.take()
        self.greylist_port = ports.take()
        self.refuse_port = ports.take()
        self.unreachable_port = ports.take()
        self.web_port = ports.take()
        self.seven_bit_port = ports.take()
        self.resubmit_port = ports.take()
        self.metrics_port = ports.take()
        self.dns_port = ports.take()
        self.scripted_port = ports.take()
        self.postfix_config = home / "postfix"
        self.receiver_config = home / "receiver"
        self.maillog = home / "log" / "mail.log"
        self.receiver_maillog = home / "log" / "receiver.log"
        self.mail_folder = home / "mail"
        self.milter_socket = home / "run" / "milter.sock"
        self.postgrey_socket = home / "spool-receiver" / "private" / "postgrey"
        self.sasl_socket = home / "spool" / "private" / "auth"
        self.config = home / "sendproof.toml"
        self.certificate = home / "tls" / "certificate.pem"
        self.certificate_key = home / "tls" / "key.pem"
        self.passwd_file = home / "dovecot" / "passwd"
        self.dovecot_config = home / "dovecot" / "dovecot.conf"
        self.public_keys = home / "public-keys"
        self.web_url = f"http://127.0.0.1:{self.web_port}"
        # Another host name for the same port, as a provider gives pixels one.
        self.tracking_url = f"http://localhost:{self.web_port}"
        self.images = home / "images"
        self.database_url = options.database_url or f"sqlite:///{home}/sendproof.db"
        self.login = Login(LOGIN, random_source.token_hex(12), f"{LOGIN}@{OWN_DOMAIN}")
        self.other = Login(OTHER, random_source.token_hex(12), f"{OTHER}@{OTHER_DOMAIN}")
        self.provider = Login(PROVIDER_LOGIN, random_source.token_hex(12), f"{PROVIDER_LOGIN}@{PROVIDER_OFFICE}")
        self._notices = Login("notices", random_source.token_hex(12), f"notices@{NOTICES_DOMAIN}")
        if options.joins is not None:
            self._join(options.joins)
        self._lay_out(now)

    @property
    def secrets(self) -> SecretsStore:
        """The installation's secret files."""
        return SecretsStore(self.home / "secrets")

    def _join(self, first: "Installation") -> None:
        """Everything that there is once, however many edges there are."""
        for name in (
            "mx_port", "greylist_port", "refuse_port", "unreachable_port", "seven_bit_port", "scripted_port",
            "dns_port", "mail_folder", "receiver_maillog", "public_keys", "web_url", "tracking_url",
            "login", "other", "provider", "_notices",
        ):  # fmt: skip
            setattr(self, name, getattr(first, name))

    def _lay_out(self, now: dt.datetime) -> None:
        for name in ("log", "run", "journal", "tls", "dovecot", "postgrey", "mail", "images"):
            (self.home / name).mkdir()
        (self.images / PICTURE).write_bytes(pictures.png(120, 32, (31, 95, 191)))
        mail_user, mail_group = _ids("nobody", "nogroup")
        os.chown(self.mail_folder, mail_user, mail_group)
        postgrey_user, postgrey_group = _ids("postgrey", "postgrey")
        os.chown(self.home / "postgrey", postgrey_user, postgrey_group)
        certificates.make(self.certificate, self.certificate_key, ("localhost", self.options.hostname), now)
        if self.options.joins is None:
            self.secrets.create()
        else:
            shutil.copytree(self.options.joins.home / "secrets", self.home / "secrets")
        password_file = self.home / "secrets" / "notices.password"
        password_file.touch(mode=0o600)
        password_file.write_text(self._notices.password + "\n")
        variables = self._variables(mail_user, mail_group)
        self._render_postfix(variables)
        self.config.touch(mode=0o600)  # with a database URL it holds a password
        _render(_TEMPLATES / "sendproof.toml.j2", self.config, variables)
        # The settings come as they come onto any Postfix that is there.
        apply(Instance.of(settings.load(self.config)), reload=False)
        (self.home / "sendproof.db").touch(mode=0o600)
        database = open_database(self.database_url)
        if self.options.joins is None:
            schema_version.upgrade(database, self.options.schema)
            self._seed(database, now)
        self.passwd_file.touch(mode=0o640)
        os.chown(self.passwd_file, 0, _ids("dovecot", "dovecot")[1])
        directory.sync_passwd_file(database, self.passwd_file)
        database.close()

    def _variables(self, mail_user: int, mail_group: int) -> dict[str, object]:
        options = self.options
        return {
            "home": self.home,
            "hostname": options.hostname,
            "notices_login": self._notices.login,
            "notices_address": self._notices.address,
            "database_url": self.database_url,
            "web_url": self.web_url,
            "tracking_url": self.tracking_url,
            "web_port": self.web_port,
            "images": self.images,
            "sign_up": options.sign_up,
            "time_zone": options.time_zone,
            "dns_port": self.dns_port,
            "dkim_zone": DKIM_ZONE,
            "spf_include": SPF_INCLUDE,
            "maillog": self.maillog,
            "milter_socket": self.milter_socket,
            "submission_port": self.submission_port,
            "submissions_port": self.submissions_port,
            "mx_port": self.mx_port,
            "greylist_port": self.greylist_port,
            "refuse_port": self.refuse_port,
            "seven_bit_port": self.seven_bit_port,
            "resubmit_port": self.resubmit_port,
            "metrics_port": self.metrics_port,
            "keeper_seconds": options.keeper_seconds,
            "quota_when_unavailable": options.quota_when_unavailable,
            "postgrey_socket": "private/postgrey",
            "sasl_socket": self.sasl_socket.relative_to(self.home / "spool"),
            "postfix_config": self.postfix_config,
            "dovecot_config": self.dovecot_config,
            "passwd_file": self.passwd_file,
            "dovecot_run": self.home / "run" / "dovecot",
            "dovecot_log": self.home / "log" / "dovecot.log",
            "tls_certificate": self.certificate,
            "tls_key": self.certificate_key,
            "tls_policy": "may",
            "mail_folder": self.mail_folder,
            "mail_user": mail_user,
            "mail_group": mail_group,
            "minimal_backoff_seconds": options.minimal_backoff_seconds,
            "maximal_backoff_seconds": options.maximal_backoff_seconds,
            "queue_run_seconds": options.queue_run_seconds,
            "lifetime_seconds": options.lifetime_seconds,
        }

    def _render_postfix(self, variables: dict[str, object]) -> None:
        self._render_instance(
            self.postfix_config,
            {**variables, "queue_directory": self.home / "spool"},
            main=(_TEMPLATES / "stock-main.cf.j2", _TEMPLATES / "submission-main.cf.j2"),
            master=(_TEMPLATES / "stock-master.cf.j2", _TEMPLATES / "submission-master.cf.j2"),
        )
        with (self.postfix_config / "master.cf").open("a") as master:
            operators = self.options.operators_master.replace("{port}", f"127.0.0.1:{self.submission_port}")
            master.write(
                operators.replace("{certificate}", str(self.certificate)).replace("{key}", str(self.certificate_key))
            )
        ports = {
            GREYLIST: self.greylist_port,
            REFUSE: self.refuse_port,
            UNREACHABLE: self.unreachable_port,
            SEVEN_BIT: self.seven_bit_port,
            SCRIPTED: self.scripted_port,
            "": self.mx_port,
        }
        transport = "".join(f"/{re.escape(domain)}$/ smtp:[127.0.0.1]:{port}\n" for domain, port in ports.items())
        (self.postfix_config / "transport").write_text(transport)
        receiver = {
            **variables,
            "hostname": "mx.receiver.example",
            "queue_directory": self.home / "spool-receiver",
            "maillog": self.receiver_maillog,
        }
        self._render_instance(
            self.receiver_config,
            receiver,
            main=(_TEMPLATES / "stock-main.cf.j2", _TEMPLATES / "receiver-main.cf.j2"),
            master=(_TEMPLATES / "stock-master.cf.j2", _TEMPLATES / "receiver-master.cf.j2"),
        )
        (self.receiver_config / "refusals").write_text("/./ 550 5.1.1 No mailbox here by that name\n")

    def _render_instance(
        self,
        folder: Path,
        variables: dict[str, object],
        *,
        main: tuple[Path, ...],
        master: tuple[Path, ...],
    ) -> None:
        folder.mkdir()
        data = self.home / f"data-{folder.name}"
        data.mkdir()
        os.chown(data, *_ids("postfix", "postfix"))
        Path(str(variables["queue_directory"])).mkdir()
        all_variables = {
            **variables,
            "config_directory": folder,
            "data_directory": data,
            "maillog_folder": self.home / "log",
        }
        for name, parts in (("main.cf", main), ("master.cf", master)):
            text = "\n".join(_rendered(part, all_variables) for part in parts)
            (folder / name).write_text(text)

    def _seed(self, database: Database, now: dt.datetime) -> None:
        options = self.options
        with database.writing() as session:
            directory.add_plan(session, "sandbox", QuotaLimits(recipients_per_day=options.recipients_per_day))
            directory.add_plan(session, "notices", QuotaLimits())
            owner = self._add_login(session, self.login, "sandbox", OWN_DOMAIN, now)
            owner.notice_address = options.notice_address
            owner.open_details = options.open_details
            self._add_login(session, self._notices, "notices", NOTICES_DOMAIN, now)
            self._add_login(session, self.other, "sandbox", OTHER_DOMAIN, now)
            self._add_login(session, self.provider, "sandbox", PROVIDER_OFFICE, now).is_provider = True
            directory.add_domain(session, PROVIDER_DOMAIN, None, now)
            signing = {
                Keys.OWN: (OWN_DOMAIN, NOTICES_DOMAIN),
                Keys.PROVIDER: (PROVIDER_DOMAIN,),
                Keys.BOTH: (OWN_DOMAIN, NOTICES_DOMAIN, PROVIDER_DOMAIN),
            }[options.keys]
            records = []
            for name in signing:
                found = directory.find_domain(session, name)
                key = directory.add_dkim_key(
                    session, found, selector=SELECTOR, secrets=self.secrets, state=KeyState.ACTIVE, now=now
                )
                records.append(directory.dkim_record(found, key))
            # OpenDKIM's TestPublicKeys: name and record on one line.
            self.public_keys.write_text("".join(f"{item.name} {''.join(item.strings)}\n" for item in records))

    def _add_login(self, session: Session, login: Login, plan: str, domain: str, now: dt.datetime) -> Account:
        account = directory.add_account(
            session,
            login=login.login,
            password=login.password,
            plan_name=plan,
            time_zone=self.options.time_zone,
            tracking=self.options.tracking,
            notice_address=None,
            now=now,
        )
        if login is not self._notices:  # nobody reads its mail
            account.address, account.address_key = login.address, address_key(login.address)
            account.address_confirmed_at = now
        directory.add_credential(
            session, account, login=login.login, label="Sandbox client", secret=login.password, now=now
        )
        directory.add_domain(session, domain, account, now)
        return account


def _rendered(template: Path, variables: dict[str, object]) -> str:
    text = template.read_text(encoding="utf-8")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)  # noqa: S701 - no HTML
    return environment.from_string(text).render(variables)


def _render(template: Path, target: Path, variables: dict[str, object]) -> None:
    target.write_text(_rendered(template, variables), encoding="utf-8")


def _ids(user: str, group: str) -> tuple[int, int]:
    try:
        return pwd.getpwnam(user).pw_uid, grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise UserError(
            f"this machine has no user or group {error.args[0].split(': ')[-1]}; `make setup` installs the packages "
            "that bring them."
        ) from None
