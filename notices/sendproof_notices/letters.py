"""What the letters say that the site asks for (`mail_requests`). Words only; makes no link and sends nothing."""

from collections.abc import Callable, Mapping
from typing import Any

from sendproof_core.mail_requests import Letter as Kind
from sendproof_notices.letter import Block, Facts, Letter, Link, Paragraph
from sendproof_notices.words import Words


def write(kind: Kind, data: Mapping[str, Any], link: str | None, words: Words, site_url: str) -> Letter:
    """The letter. ``data``: as `mail_requests.Letter` says, partly typed by strangers; ``link``: the whole address."""
    subject, blocks = _WRITERS[kind](_Given(data), words, link or site_url, site_url)
    return Letter(subject, blocks, (Paragraph(words.gettext("This mail was sent by %(site)s.", site=site_url)),))


class _Given:
    """What a request holds, as text; what it lacks is empty."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data

    def __getitem__(self, name: str) -> str:
        value = self._data.get(name, "")
        return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)

    def is_on(self, name: str) -> bool:
        return bool(self._data.get(name))


_Written = tuple[str, tuple[Block, ...]]
_Writer = Callable[[_Given, Words, str, str], _Written]


def _confirm_sign_up(_given: _Given, words: Words, link: str, site_url: str) -> _Written:
    _ = words.gettext
    return _("Confirm your address"), (
        Paragraph(_("Somebody, most likely you, wants an account on %(site)s with this address.", site=site_url)),
        Link(_("Confirm the address and choose a password"), link),
        Paragraph(_("The link is good for two days. If it was not you, do nothing: no account is made.")),
    )


def _already_signed_up(given: _Given, words: Words, _link: str, site_url: str) -> _Written:
    _ = words.gettext
    return _("You have an account already"), (
        Paragraph(_("Somebody, most likely you, wanted a new account on %(site)s with this address.", site=site_url)),
        Facts(((_("It belongs to the account"), given["logins"]),)),
        Link(_("Sign in"), f"{site_url}/sign-in"),
        Link(_("Forgotten your password?"), f"{site_url}/forgotten"),
        Paragraph(_("If it was not you, do nothing: nothing was changed.")),
    )


def _invitation(given: _Given, words: Words, link: str, site_url: str) -> _Written:
    _ = words.gettext
    blocks: list[Block] = [Paragraph(_("You are invited to send your mail through %(site)s.", site=site_url))]
    if given["plan"]:
        blocks.append(Facts(((_("Plan"), given["plan"]),)))
    blocks.append(Link(_("Accept the invitation"), link))
    blocks.append(Paragraph(_("The link is good for 14 days. If you do not want an account, do nothing.")))
    return _("Your invitation"), tuple(blocks)


def _confirm_address(given: _Given, words: Words, link: str, _site_url: str) -> _Written:
    _ = words.gettext
    return _("Confirm your new address"), (
        Paragraph(_("The account %(login)s is to have this mail address.", login=given["login"])),
        Link(_("Confirm the address"), link),
        Paragraph(_("The link is good for two days. If it was not you, do nothing: the address stays as it was.")),
    )


def _confirm_sender_address(given: _Given, words: Words, link: str, _site_url: str) -> _Written:
    _ = words.gettext
    return _("Confirm an address to send from"), (
        Paragraph(_("The account %(login)s wants to send mail with this address as the sender.", login=given["login"])),
        Link(_("Allow it"), link),
        Paragraph(_("The link is good for two days. If it was not you, do nothing: it is not allowed.")),
    )


def _address_changed(given: _Given, words: Words, _link: str, site_url: str) -> _Written:
    _ = words.gettext
    return _("The address of your account was changed"), (
        Paragraph(_("The account %(login)s has another mail address from now on.", login=given["login"])),
        Facts(((_("New address"), given["new_address"]),)),
        *_if_not_you(words, site_url),
    )


def _reset(given: _Given, words: Words, link: str, _site_url: str) -> _Written:
    _ = words.gettext
    return _("Choose a new password"), (
        Paragraph(_("Somebody, most likely you, has forgotten the password of the account %(login)s.",
                    login=given["login"])),
        Link(_("Choose a new password"), link),
        Paragraph(_("The link is good for one hour, once. If it was not you, do nothing: the password stays as it "
                    "is.")),
    )  # fmt: skip


def _logins(given: _Given, words: Words, _link: str, site_url: str) -> _Written:
    _ = words.gettext
    return _("Your login"), (
        Paragraph(_("Somebody, most likely you, asked for the login that belongs to this address.")),
        Facts(((_("Login"), given["logins"]),)),
        Link(_("Sign in"), f"{site_url}/sign-in"),
    )


def _password_changed(given: _Given, words: Words, _link: str, site_url: str) -> _Written:
    _ = words.gettext
    return _("Your password was changed"), (
        Paragraph(_("The password of the account %(login)s was changed. All other browsers were signed out.",
                    login=given["login"])),
        *_from_where(given, words),
        *_if_not_you(words, site_url),
    )  # fmt: skip


def _second_factor_changed(given: _Given, words: Words, _link: str, site_url: str) -> _Written:
    _ = words.gettext
    if given.is_on("on"):
        subject = _("The second factor is switched on")
        text = _("The account %(login)s now asks for a code beside the password.", login=given["login"])
    else:
        subject = _("The second factor is switched off")
        text = _("The account %(login)s no longer asks for a code beside the password.", login=given["login"])
    return subject, (Paragraph(text), *_from_where(given, words), *_if_not_you(words, site_url))


def _credential_added(given: _Given, words: Words, _link: str, site_url: str) -> _Written:
    _ = words.gettext
    return _("A new credential can send your mail"), (
        Paragraph(_("A credential was added to the account %(login)s: with it a device or a program can send mail.",
                    login=given["login"])),
        Facts(((_("For"), given["label"]),)),
        *_from_where(given, words),
        *_if_not_you(words, site_url),
    )  # fmt: skip


def _suspended(given: _Given, words: Words, _link: str, _site_url: str) -> _Written:
    _ = words.gettext
    blocks: list[Block] = [
        Paragraph(_("The account %(login)s is suspended: it cannot send mail until it is reinstated. What was accepted "
                    "before is delivered.", login=given["login"]))
    ]  # fmt: skip
    if given["reason"]:
        blocks.append(Facts(((_("Reason"), given["reason"]),)))
    blocks.append(Paragraph(_("Please ask your provider.")))
    return _("Your account is suspended"), tuple(blocks)


def _reinstated(given: _Given, words: Words, _link: str, site_url: str) -> _Written:
    _ = words.gettext
    return _("Your account is reinstated"), (
        Paragraph(_("The account %(login)s can send mail again.", login=given["login"])),
        Link(_("Sign in"), f"{site_url}/sign-in"),
    )


def _from_where(given: _Given, words: Words) -> tuple[Block, ...]:
    address = given["client_address"]
    return (Facts(((words.gettext("From the internet address"), address),)),) if address else ()


def _if_not_you(words: Words, site_url: str) -> tuple[Block, ...]:
    _ = words.gettext
    return (
        Paragraph(_("If that was you, all is well. If not, choose a new password now and tell your provider.")),
        Link(_("Password and sign-in"), f"{site_url}/account/security"),
    )


_WRITERS: dict[Kind, _Writer] = {
    Kind.CONFIRM_SIGN_UP: _confirm_sign_up,
    Kind.ALREADY_SIGNED_UP: _already_signed_up,
    Kind.INVITATION: _invitation,
    Kind.CONFIRM_ADDRESS: _confirm_address,
    Kind.CONFIRM_SENDER_ADDRESS: _confirm_sender_address,
    Kind.ADDRESS_CHANGED: _address_changed,
    Kind.RESET: _reset,
    Kind.LOGINS: _logins,
    Kind.PASSWORD_CHANGED: _password_changed,
    Kind.SECOND_FACTOR_CHANGED: _second_factor_changed,
    Kind.CREDENTIAL_ADDED: _credential_added,
    Kind.SUSPENDED: _suspended,
    Kind.REINSTATED: _reinstated,
}
