"""Postfixes as operators have them: stock and odd main.cf and master.cf in a folder, and what `sendproof` is told.

Starts nothing.
"""

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from sendproof_core import settings
from sendproof_postfix.plan import Instance

# What the Debian package brings: its maintainers' choice of lines, as a fresh installation has them.
_STOCK_MASTER = Path("/usr/share/postfix/master.cf.dist")
_STOCK_MAIN = """\
# See /usr/share/postfix/main.cf.dist for a commented, more complete version
smtpd_banner = $myhostname ESMTP $mail_name (Debian/GNU)
biff = no
append_dot_mydomain = no
readme_directory = no
compatibility_level = 3.6

# TLS parameters
smtpd_tls_cert_file=/etc/ssl/certs/ssl-cert-snakeoil.pem
smtpd_tls_key_file=/etc/ssl/private/ssl-cert-snakeoil.key
smtpd_tls_security_level=may
smtp_tls_CApath=/etc/ssl/certs
smtp_tls_security_level=may
smtp_tls_session_cache_database = btree:${data_directory}/smtp_scache

smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated defer_unauth_destination
myhostname = edge.operator.example
mydestination = $myhostname, localhost
relayhost =
mynetworks = 127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128
mailbox_size_limit = 0
recipient_delimiter = +
inet_interfaces = loopback-only
inet_protocols = ipv4
"""
_SUBMISSION = """\
submission inet n       -       y       -       -       smtpd
  -o syslog_name=postfix/submission
# The operator's words, in the middle.
  -o smtpd_tls_security_level=encrypt
  -o smtpd_sasl_auth_enable=yes
  -o { smtpd_sasl_path = private/operators auth }
  -o smtpd_sasl_type=dovecot
\t-o smtpd_relay_restrictions=permit_sasl_authenticated,reject
  -o milter_macro_daemon_name=ORIGINATING
"""
_AMAVIS = """\
smtp-amavis unix -      -       n       -       2  smtp
  -o smtp_data_done_timeout=1200
127.0.0.1:10025 inet n  -       n     -       -  smtpd
  -o content_filter=
  -o mynetworks=127.0.0.0/8
"""


@dataclass(frozen=True)
class Operators:
    """One operator's files: what is added to the stock ones, and what is replaced in them."""

    main: str = ""
    master: str = ""
    replaced: tuple[tuple[str, str], ...] = ()

    @property
    def files(self) -> dict[str, str]:
        """main.cf and master.cf."""
        texts = {"main.cf": _STOCK_MAIN + self.main, "master.cf": _STOCK_MASTER.read_text() + self.master}
        for old, new in self.replaced:
            texts = {name: text.replace(old, new) for name, text in texts.items()}
        return texts


CORPUS = {
    "stock": Operators(),
    "submission": Operators(master=_SUBMISSION),
    "opendkim": Operators(
        main="milter_default_action = accept\nsmtpd_milters = inet:localhost:8891,\n\t{ inet:localhost:8892, "
        "connect_timeout=3s }\nnon_smtpd_milters = $smtpd_milters\n",
        master=_SUBMISSION,
    ),
    "amavis": Operators(main="content_filter = smtp-amavis:[127.0.0.1]:10024\n", master=_AMAVIS),
    "smarthost": Operators(
        main="relayhost = [smarthost.example]:465\nsmtp_sasl_auth_enable = yes\nsmtp_tls_wrappermode = yes\n"
        "smtp_sasl_password_maps = inline:{{[smarthost.example]:465 = login:password}}\n"
        "smtp_sasl_tls_security_options = noanonymous\n",
        replaced=(("relayhost =\n", ""), ("smtp_tls_security_level=may\n", "smtp_tls_security_level=encrypt\n")),
    ),
    "postscreen": Operators(
        replaced=(
            ("smtp      inet  n       -       y       -       -       smtpd\n", ""),
            ("#smtp      inet  n       -       y       -       1       postscreen", "smtp inet n - y - 1 postscreen"),
            ("#smtpd     pass", "smtpd     pass"),
            ("#dnsblog ", "dnsblog "),
        )
    ),
    "multi-line": Operators(
        main="smtpd_recipient_restrictions =\n    # a comment inside\n\tpermit_mynetworks,\n\n    reject\n"
        "milter_header_checks = pcre:/etc/postfix/none, regexp:{\n  {/^X-A:/ WARN a}\n  {/^X-B:/ WARN b}\n }\n"
        "myorigin=a.example\nmyorigin = b.example\n",
        master="relay2 unix - - n - - smtp\n  -v\n  -o{ smtp_helo_name = $myhostname }\n\n  # end\n",
    ),
    "own cleanup": Operators(
        main="cleanup_service_name = pre-cleanup\n",
        master="pre-cleanup unix n - n - 0 cleanup\n  -o { header_checks = regexp:{{/^X:/ IGNORE}} }\n" + _SUBMISSION,
    ),
    "short queue ids": Operators(main="enable_long_queue_ids = no\nsmtp_tls_loglevel = 2\n"),
    "old level": Operators(replaced=(("compatibility_level = 3.6\n", ""),), master=_SUBMISSION),
    "no newline at the end": Operators(main="delay_warning_time = 4h", master="last unix - - n - - smtp"),
    "octets": Operators(main="mail_name = P\udcf6stfix\n# \udcff\udcfe\n"),
}


class OperatorsPostfix:
    """One of the corpus in a folder, not started."""

    def __init__(self, folder: Path, operators: Operators, queue: Path | None = None) -> None:
        self.folder = folder
        self.directory = folder / "etc"
        self.queue = queue or folder / "queue"
        data = folder / "data"
        folder.chmod(0o755)  # Postfix's user goes through it
        for path in (self.directory, self.queue, data):
            path.mkdir(exist_ok=True)
        shutil.chown(data, "postfix")
        texts = operators.files
        ours = f"queue_directory = {self.queue}\ndata_directory = {data}\n"
        (self.directory / "main.cf").write_bytes((ours + texts["main.cf"]).encode("utf-8", "surrogateescape"))
        (self.directory / "master.cf").write_text(texts["master.cf"])
        os.utime(self.directory / "main.cf", ns=(1, 1_700_000_000_123_456_789))
        (self.directory / "master.cf").chmod(0o640)
        os.utime(self.directory / "master.cf", ns=(1, 1_700_000_000_987_654_321))
        self.instance = self._instance()

    def with_settings(self, **changes: object) -> Instance:
        """The same Postfix with other `[postfix]` settings."""
        return replace(self.instance, settings=replace(self.instance.settings, **changes))  # type: ignore[arg-type]  # names of fields

    def tree(self) -> dict[str, tuple[bytes, int, int, int, int]]:
        """Everything that Postfix's folder and the rest hold: octets, mode, owner, time."""
        found = {}
        for path in (*self.directory.rglob("*"), *self.folder.glob("*.conf"), *self.folder.glob("state/**/*")):
            if path.is_file():
                has = path.stat()
                found[str(path)] = (path.read_bytes(), has.st_mode, has.st_uid, has.st_gid, has.st_mtime_ns)
        return found

    def _instance(self) -> Instance:
        path = self.folder / "sendproof.toml"
        path.write_text(
            f'[milter]\nsocket = "{self.queue}/sendproof/milter.sock"\n'
            f'[sasl]\npasswd_file = "{self.folder}/passwd"\n'
            f'[postfix]\nconfig_directory = "{self.directory}"\nstate_directory = "{self.folder}/state"\n'
            f'dovecot_config = "{self.folder}/dovecot.conf"\n'
        )
        return Instance.of(settings.load(path))
