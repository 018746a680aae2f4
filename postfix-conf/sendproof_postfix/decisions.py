"""What has to change in a Postfix that is there, and what stands in the way. Pure: looks at values, changes nothing.

Nothing that the operator set is overwritten. Our own services carry our settings; services of the operator's get an
option only where none stands; what would have to be different is a conflict, named and left to the operator.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from sendproof_postfix import configuration, versions
from sendproof_postfix.configuration import Configuration, Service, elements
from sendproof_postfix.settings import PostfixSettings
from sendproof_postfix.steps import SetMain, SetOption, SetService, Step
from sendproof_postfix.wanted import PREFIX, RESUBMIT_LOG_NAME, Parameter, Wanted

# Where main.cf says nothing of TLS at all, smtp_tls_security_level is set; these two are its predecessors.
_TLS_LEVELS = ("smtp_tls_security_level", "smtp_use_tls", "smtp_enforce_tls")
_CERTIFICATES = ("smtpd_tls_cert_file", "smtpd_tls_chain_files", "smtpd_tls_eccert_file")
_RESTRICTIONS = ("client", "helo", "sender", "relay", "recipient")
# What cleanup(8) does not do where smtpd says no_address_mappings.
_MAPPINGS = (
    "canonical_maps",
    "sender_canonical_maps",
    "recipient_canonical_maps",
    "virtual_alias_maps",
    "masquerade_domains",
    "always_bcc",
    "sender_bcc_maps",
    "recipient_bcc_maps",
)
_NO_MAPPING = "copies for single recipients do not pass what maps addresses later"
# Of main.cf, what our own submission services do without.
_WITHOUT = ("smtpd_milters", "smtpd_sender_restrictions", "smtpd_recipient_restrictions")
# What makes smtp(8) log the conversation, or belongs to that.
_DIALOGUE = frozenset({"debug_peer_list", "debug_peer_level", "smtp_tls_session_cache_database"})
_SUBMISSIONS = {"submission": "submission_port", "submissions": "submissions_port"}


@dataclass(frozen=True)
class Conflict:
    """What the operator has to decide. ``fatal``: nothing is changed before that."""

    where: str
    found: str
    needed: str
    why: str
    fatal: bool


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What the configuration itself does not say.

    ``ports``: numbers of the names of services(5) that are used; ``taken``: ports that are not free, and why;
    ``socket_in_queue``: the milter's socket lies in the queue directory, which is where a chroot is;
    ``dovecot_version``: what Dovecot says of itself, empty if it is not there.
    """

    ports: Mapping[str, int] = field(default_factory=dict)
    taken: Mapping[str, str] = field(default_factory=dict)
    dovecot_version: str = ""
    socket_in_queue: bool = True
    milter_socket: str = ""
    queue_directory: str = ""


@dataclass(frozen=True)
class Decision:
    """The steps in their order, each with its reason, and the conflicts."""

    steps: tuple[tuple[Step, str], ...]
    conflicts: tuple[Conflict, ...]
    # Whether a service of ours asks our Dovecot.
    uses_dovecot: bool = False

    @property
    def fatal(self) -> tuple[Conflict, ...]:
        """The conflicts that stop everything."""
        return tuple(one for one in self.conflicts if one.fatal)


def decide(found: Configuration, wanted: Wanted, settings: PostfixSettings, around: Surroundings) -> Decision:
    """Decide on one instance."""
    return _Deciding(found, wanted, settings, around).decision()


def cleanup_service(found: Configuration) -> str:
    """What our copy of the operator's cleanup service is called."""
    return PREFIX + found.expanded.get("cleanup_service_name", "cleanup").removeprefix(PREFIX)


class _Deciding:
    def __init__(self, found: Configuration, wanted: Wanted, settings: PostfixSettings, around: Surroundings) -> None:
        self._found = found
        self._wanted = wanted
        self._settings = settings
        self._around = around
        self._steps: list[tuple[Step, str]] = []
        self._conflicts: list[Conflict] = []
        self._cleanups: set[str] = set()
        self._uses_dovecot = False
        self._adds_submission = False
        self._chroot = versions.chroot_by_default(found.expanded.get("compatibility_level", "0"))

    def decision(self) -> Decision:
        version = versions.read(self._found.effective.get("mail_version", ""))
        if version.stops:
            self._conflict("mail_version", version.text, "", version.stops)
            return Decision((), tuple(self._conflicts))
        if version.warns:
            self._conflict("mail_version", version.text, "", version.warns, fatal=False)
        self._main()
        for service, reason in ((one.service, one.reason) for one in self._wanted.services):
            daemon = service.options.get("milter_macro_daemon_name", "")
            if daemon in _SUBMISSIONS:
                self._submission(service, daemon, reason)
            else:
                self._own(service, reason)
        for name in sorted(self._cleanups):
            self._cleanup(name)
        for name in self._settings.transports:
            self._transport(name)
        self._rest()
        return Decision(tuple(self._steps), tuple(self._conflicts), self._uses_dovecot)

    def _conflict(self, where: str, found: str, needed: str, why: str, *, fatal: bool = True) -> None:
        self._conflicts.append(Conflict(where, found, needed, why, fatal))

    def _main(self) -> None:
        for parameter in self._wanted.main:
            explicit = self._found.explicit.get(parameter.name)
            if explicit is None and self._found.effective.get(parameter.name) != parameter.value:
                self._steps.append((SetMain(parameter.name, None, parameter.value), parameter.reason))
            elif explicit not in (None, parameter.value):
                # With short queue ids everything works; they are used again, so old transcripts are less sure.
                fatal = parameter.name != "enable_long_queue_ids"
                self._conflict(parameter.name, explicit or "", parameter.value, parameter.reason, fatal=fatal)

    # Services of our own

    def _own(self, service: Service, reason: str) -> None:
        if service.kind == "inet" and not self._port_is_free(service):
            return
        here = self._found.services.get(service.key)
        if "cleanup_service_name" in service.options:
            self._cleanups.add(service.options["cleanup_service_name"])
        if here != service:
            self._steps.append((SetService(service.key, here.line if here else None, service.line), reason))

    def _port_is_free(self, service: Service) -> bool:
        daemon = service.options.get("milter_macro_daemon_name", "")
        setting = f"[postfix] {_SUBMISSIONS.get(daemon, 'resubmit_port')}"
        for other in self._on_port_of(service):
            if other.options.get("syslog_name") != RESUBMIT_LOG_NAME:
                self._conflict(setting, other.key, "a port of its own", f"{other.key} of master.cf is there.")
                return False
        if whose := self._around.taken.get(service.name):
            self._conflict(setting, service.name, "a free port", whose)
            return False
        protocols = elements(self._found.expanded.get("inet_protocols", "all"))
        if service.name.startswith("127.") and protocols and not {"all", "ipv4"} & set(protocols):
            self._conflict("inet_protocols", ", ".join(protocols), "ipv4", f"{service.name} is an address of IPv4.")
            return False
        return True

    def _on_port_of(self, service: Service) -> Iterator[Service]:
        port = self._port(service.name)
        return (one for one in self._found.services.values() if one.kind == "inet" and self._port(one.name) == port)

    def _port(self, name: str) -> int | str:
        word = name.rpartition(":")[2]
        return int(word) if word.isdecimal() else self._around.ports.get(word, word)

    def _submission(self, service: Service, daemon: str, reason: str) -> None:
        there = list(self._on_port_of(service))
        if not there:
            self._own_submission(service, reason)
        for other in there:
            if other.command.rpartition("/")[2] != "smtpd":
                self._conflict(f"[postfix] {_SUBMISSIONS[daemon]}", other.line, "", "a port of its own is needed.")
            else:
                self._extend(other, daemon)

    def _own_submission(self, service: Service, reason: str) -> None:
        if not any(name in service.options or self._found.expanded.get(name, "") for name in _CERTIFICATES):
            self._conflict(
                "smtpd_tls_cert_file",
                "",
                "a certificate",
                "the submission services need TLS: set [postfix] tls_certificate and tls_key, or Postfix's own.",
            )
        overrides = elements(self._found.expanded.get("receive_override_options", ""))
        if "no_milters" in overrides:
            kept = ",".join(one for one in overrides if one != "no_milters")
            service = service.with_option("receive_override_options", kept)
        self._uses_dovecot = self._adds_submission = True
        self._own(service, reason)

    # Services of the operator's

    def _extend(self, service: Service, daemon: str) -> None:
        if not self._may_extend(service, daemon):
            return
        milters = elements(self._value_as_written(service, "smtpd_milters"))
        others = [one for one in milters if not self._is_ours(one)]
        if others:
            self._conflict(
                f"{service.key}/smtpd_milters",
                ", ".join(others),
                "",
                "these milters come first: a signature that one of them makes does not hold where Sendproof adds a "
                "pixel. Sendproof signs itself.",
                fatal=False,
            )
        ours = [self._wanted.milter if self._is_ours(one) else one for one in milters]
        if len(others) == len(milters):
            ours.append(self._wanted.milter)
        self._set(service, "smtpd_milters", ",".join(_without_blanks(one) for one in ours), "Our milter, the last.")
        cleanup = self._found.value(service, "cleanup_service_name") or "cleanup"
        copy = PREFIX + cleanup.removeprefix(PREFIX)
        self._cleanups.add(copy)
        self._set(service, "cleanup_service_name", copy, "A copy of its cleanup service, with our settings.")
        # OpenDKIM and others look for the name that the operator chose; the login says enough.
        if "milter_macro_daemon_name" not in service.options:
            self._set(service, "milter_macro_daemon_name", daemon, "So the milter knows that users submit here.")
        self._passwords_of(service, daemon)

    def _passwords_of(self, service: Service, daemon: str) -> None:
        path, ours = self._found.value(service, "smtpd_sasl_path"), self._settings.sasl_socket
        if path == ours:
            self._uses_dovecot = True
            return
        self._conflict(
            f"{service.key}/smtpd_sasl_path",
            f"{self._found.value(service, 'smtpd_sasl_type')}:{path}",
            f"dovecot:{ours}",
            "this service keeps its own SASL server: its logins must be logins that Sendproof knows, and passwords "
            "given out by Sendproof do not work there. For a service of our own set another "
            f"[postfix] {_SUBMISSIONS[daemon]}.",
            fatal=False,
        )

    def _may_extend(self, service: Service, daemon: str) -> bool:
        before = len(self._conflicts)
        where = f"{service.key}/"
        other_port = f"Or set another [postfix] {_SUBMISSIONS[daemon]} for a service of our own."
        if self._found.value(service, "smtpd_sasl_auth_enable") != "yes":
            found = self._found.value(service, "smtpd_sasl_auth_enable")
            self._conflict(
                f"{where}smtpd_sasl_auth_enable", found, "yes", f"the login says whose mail it is. {other_port}"
            )
        elif not self._requires_login(service):
            self._conflict(
                f"{where}smtpd_relay_restrictions",
                self._found.value(service, "smtpd_relay_restrictions"),
                "permit_sasl_authenticated,reject",
                f"the milter would refuse what comes without a login, so Postfix should. {other_port}",
            )
        for name in ("smtpd_proxy_filter", "smtpd_milter_maps"):
            value = self._found.value(service, name)
            if value:
                self._conflict(f"{where}{name}", value, "", f"with it the milter does not see the mail. {other_port}")
        overrides = elements(self._found.value(service, "receive_override_options"))
        if "no_milters" in overrides:
            self._conflict(f"{where}receive_override_options", "no_milters", "without no_milters", other_port)
        if "no_address_mappings" in overrides and (mappings := self._mappings()):
            self._conflict(
                f"{where}receive_override_options",
                "no_address_mappings",
                "without no_address_mappings",
                f"{_NO_MAPPING}; {mappings} would have no effect. {other_port}",
            )
        if service.chrooted(self._chroot) and not self._around.socket_in_queue:
            self._conflict(
                "[milter] socket",
                self._around.milter_socket,
                f"{self._around.queue_directory}/sendproof/milter.sock",
                f"{service.key} runs in a chroot and does not see it elsewhere.",
            )
        return len(self._conflicts) == before

    def _requires_login(self, service: Service) -> bool:
        """Whether one list of restrictions lets in whoever signed in, and nobody else."""
        for name in _RESTRICTIONS:
            value = self._found.value(service, f"smtpd_{name}_restrictions")
            words = [word for word in elements(value) if word != "reject_unauth_pipelining"]
            if words[:2] == ["permit_sasl_authenticated", "reject"]:
                return True
        return False

    def _value_as_written(self, service: Service, name: str) -> str:
        return service.options.get(name, self._found.effective.get(name, ""))

    def _is_ours(self, milter: str) -> bool:
        path = milter.strip("{ ").removeprefix("unix:").partition(",")[0].strip("} ")
        absolute = path if path.startswith("/") else f"{self._around.queue_directory}/{path}"
        return bool(path) and absolute == self._around.milter_socket

    def _set(self, service: Service, name: str, value: str, reason: str) -> None:
        before = service.options.get(name)
        if before != value:
            self._steps.append((SetOption(service.key, name, before, value), reason))

    def _cleanup(self, name: str) -> None:
        key = f"{name.removeprefix(PREFIX)}/unix"
        original = self._found.services.get(key)
        if original is None:
            self._conflict(
                key, "", "a service of master.cf", "the service that takes mail into the queue is not there."
            )
            return
        copy = replace(original, name=name)
        for parameter in self._wanted.cleanup:
            value = parameter.value
            if parameter.name == "milter_header_checks":
                theirs = self._value_as_written(original, parameter.name)
                value = f"{theirs}, {value}" if theirs else value
            copy = copy.with_option(parameter.name, value)
        here = self._found.services.get(copy.key)
        if here != copy:
            reason = f"A copy of {key} for mail that passes our milter: adds missing fields, makes copies for pixels."
            self._steps.append((SetService(copy.key, here.line if here else None, copy.line), reason))

    def _transport(self, name: str) -> None:
        service = self._found.services.get(f"{name}/unix")
        if service is None:
            why = "it is named in [postfix] transports, and master.cf has no such service."
            self._conflict(f"{name}/unix", "", "a service of master.cf", why, fatal=False)
        elif service.command.rpartition("/")[2] != "smtp":
            why = "it is named in [postfix] transports, and only smtp(8) logs the SMTP conversation."
            self._conflict(f"{name}/unix", service.command, "smtp", why, fatal=False)
        else:
            signs_in = self._found.value(service, "smtp_sasl_auth_enable").lower() == "yes"
            peers = self._found.value(service, "debug_peer_list")
            if signs_in and peers:
                why = (
                    "it signs in, and the mail log has the conversation with the password: take this out, change the "
                    "password, clear the old logs."
                )
                self._conflict(f"{service.key}/debug_peer_list", peers, "", why, fatal=False)
            elif signs_in:
                why = (
                    "its conversation is not logged, because the password would stand in the mail log; transcripts "
                    "show its results without the conversation."
                )
                self._conflict(f"{service.key}/smtp_sasl_auth_enable", "yes", "no", why, fatal=False)
            for parameter in self._wanted.outgoing:
                if not (signs_in and parameter.name in _DIALOGUE):
                    self._outgoing(service, parameter)

    def _outgoing(self, service: Service, parameter: Parameter) -> None:
        name = parameter.name
        here = service.options.get(name)
        if name == "smtp_tls_security_level" and any(
            one in service.options or one in self._found.explicit for one in _TLS_LEVELS
        ):
            return
        if name == "smtp_tls_loglevel" and self._found.value(service, name) in {"1", "2", "3", "4"}:
            return
        if here is None and self._found.expanded.get(name) != parameter.value:
            self._set(service, name, parameter.value, parameter.reason)
        elif here not in (None, parameter.value):
            self._conflict(f"{service.key}/{name}", here or "", parameter.value, parameter.reason, fatal=False)

    def _mappings(self) -> str:
        return ", ".join(name for name in _MAPPINGS if self._found.expanded.get(name))

    def _rest(self) -> None:
        expanded = self._found.expanded
        reasons = {
            "content_filter": "mail passes it after it was signed: what it changes breaks the signature; and copies "
            "for single recipients do not pass it.",
            "smtpd_proxy_filter": "mail of our own submission services does not pass it.",
            "master_service_disable": "see that it does not switch our services off.",
        }
        if self._adds_submission:
            reasons |= dict.fromkeys(_WITHOUT, reasons["smtpd_proxy_filter"])
        for name, why in reasons.items():
            if expanded.get(name):
                self._conflict(name, expanded[name], "", why, fatal=False)
        overrides = elements(expanded.get("receive_override_options", ""))
        if self._adds_submission and "no_address_mappings" in overrides and (mappings := self._mappings()):
            why = f"{_NO_MAPPING}; for mail of our own submission services {mappings} would have no effect."
            self._conflict("receive_override_options", "no_address_mappings", "", why, fatal=False)
        if self._uses_dovecot and not versions.reads_our_dovecot(self._around.dovecot_version):
            why = "the configuration that is written for our Dovecot is for 2.3; others do not read it."
            self._conflict("dovecot", self._around.dovecot_version, "2.3", why)
        if expanded.get("smtp_tls_connection_reuse") == "yes":
            why = "tlsproxy(8) keeps connections: transcripts show parts of a connection that is used again."
            self._conflict("smtp_tls_connection_reuse", "yes", "no", why, fatal=False)


def _without_blanks(milter: str) -> str:
    # `postconf -P` takes no blanks; in braces, commas separate as well (MILTER_README).
    return ",".join(configuration.elements(milter.strip("{}"))).join("{}") if milter.startswith("{") else milter
