"""A letter as a mail: headers, plain text and HTML of the same words. Decides and words nothing.

Everything that a letter quotes came over a wire: here it becomes one harmless line, escaped where it is HTML.
"""

import datetime as dt
import re
import textwrap
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

import jinja2

from sendproof_core.hostile_text import visible
from sendproof_notices.letter import Letter

_SUBJECT_CHARACTERS = 160
_BODY_COLUMNS = 76
# 8-bit text would have to be recoded on the way (RFC 6152 section 3), which breaks its DKIM signature.
_POLICY = SMTP.clone(cte_type="7bit")

# Dot-string "@" domain of RFC 5321 section 4.1.2; quoted local parts and address literals are not mailed to.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_MAIL_ADDRESS = re.compile(rf"(?=.{{1,254}}\Z){_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*")


@dataclass(frozen=True)
class Letterhead:
    """What all notices have in common. ``site_url`` ends without a slash."""

    from_address: str
    from_name: str
    site_url: str

    @property
    def domain(self) -> str:
        """Of the Message-IDs."""
        return self.from_address.rpartition("@")[2]


class UnusableAddressError(Exception):
    """The address is none that mail can be sent to."""


def is_mail_address(text: str) -> bool:
    """Whether mail can be sent to this text, taken as exactly one ASCII address."""
    return _MAIL_ADDRESS.fullmatch(text) is not None


def compose(
    letter: Letter,
    letterhead: Letterhead,
    *,
    to_address: str,
    message_id_header: str,
    language: str,
    now: dt.datetime,
) -> EmailMessage:
    """The letter to one person.

    Marked as made by a machine (RFC 3834 section 5), so that no answering machine answers.

    Raises:
        UnusableAddressError: ``to_address`` is not one mail address.
    """
    if not is_mail_address(to_address):
        raise UnusableAddressError(to_address)
    mail = EmailMessage(policy=_POLICY)
    mail["From"] = Address(letterhead.from_name, addr_spec=letterhead.from_address)
    mail["To"] = Address(addr_spec=to_address)
    mail["Subject"] = _subject(letter.subject)
    mail["Date"] = now
    mail["Message-ID"] = message_id_header
    mail["Auto-Submitted"] = "auto-generated"
    # Exchange answers what RFC 3834 tells it to leave alone, unless this says so, too.
    mail["X-Auto-Response-Suppress"] = "All"
    mail.set_content(as_text(letter))
    mail.add_alternative(as_html(letter, language), subtype="html")
    mail["Content-Language"] = language
    return mail


def as_text(letter: Letter) -> str:
    """The letter in lines of at most 76 characters; longer words (URLs, queue ids) stay whole."""
    return _TEXT.get_template("letter.txt.j2").render(letter=letter)


def as_html(letter: Letter, language: str) -> str:
    """The same letter as a page without script, picture or reference to another place."""
    return _HTML.get_template("letter.html.j2").render(letter=letter, language=language)


def _subject(text: str) -> str:
    # What looks like an encoded word (RFC 2047) would be decoded when the header is set, line ends in it and all.
    text = visible(text).replace("=?", "= ?")
    return text if len(text) <= _SUBJECT_CHARACTERS else text[: _SUBJECT_CHARACTERS - 3] + "..."


def _wrapped(text: str, indent: int = 0) -> str:
    """Long words (queue ids, URLs) stay whole, so that they can be copied."""
    return textwrap.fill(
        visible(text),
        _BODY_COLUMNS,
        initial_indent=" " * indent,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _environment(*, autoescape: bool) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sendproof_notices"),
        autoescape=autoescape,  # noqa: S701 - off for the plain text, which is no HTML
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(visible=visible, wrapped=_wrapped)
    return environment


_TEXT, _HTML = _environment(autoescape=False), _environment(autoescape=True)
