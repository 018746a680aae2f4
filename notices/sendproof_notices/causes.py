"""Why a recipient was put off or refused, and what to do about it, in the reader's language. Decides nothing.

The causes are `reply_rules`'; the transcript says the same in more words.
"""

from sendproof_core.reply_rules import Cause
from sendproof_notices.words import Words


def why_refused(cause: Cause, words: Words) -> str | None:
    """What the other server's words mean; None where they do not tell."""
    _ = words.gettext
    return {
        Cause.UNKNOWN_USER: _("Their server says that there is no such mailbox."),
        Cause.MAILBOX_FULL: _("Their server says that the mailbox is full."),
        Cause.MAILBOX_DISABLED: _("Their server says that the mailbox is switched off."),
        Cause.TOO_LARGE: _("Their server says that the message is too large."),
        Cause.BLOCKED: _("Their server says that a filter or a blacklist is against it."),
        Cause.SENDER_REFUSED: _("Their server says that it takes no mail from this sender."),
        Cause.AUTHENTICATION: _(
            "Their server says that the sender's domain does not vouch for the message (SPF, DKIM or DMARC)."
        ),
        Cause.OUR_NAME: _("Their server finds fault with the name of our server in DNS."),
        Cause.NOT_RESPONSIBLE: _("Their server says that it is not responsible for that address."),
        Cause.NO_SUCH_DOMAIN: _("The part of the address after the @ sign takes no mail, or does not exist."),
        Cause.UNREACHABLE: _("No mail server of that domain could be reached."),
        Cause.NO_TLS: _("Their server does not offer the encryption that is asked for."),
        Cause.GREYLISTED: _("Their server puts unknown senders off, but called it final."),
    }.get(cause)


def advice_refused(cause: Cause, words: Words) -> str:
    """What the sender can do about mail that came to nothing."""
    _ = words.gettext
    show_it = _(
        "Make a hand-over link on the page below, and send it to the recipient's IT department in another way: it has "
        "what they need to find the message in their systems."
    )
    ask_provider = _("Show the words above to your provider.")
    found = {
        Cause.UNKNOWN_USER: _("Look for a typing error, or ask the recipient for the address in another way."),
        Cause.MAILBOX_FULL: _("Let the recipient know in another way, and send the message again later."),
        Cause.MAILBOX_DISABLED: _("Ask the recipient, in another way, for an address that is in use."),
        Cause.TOO_LARGE: _("Send it again with smaller attachments, or with a link to them."),
        Cause.BLOCKED: show_it,
        Cause.SENDER_REFUSED: _("Check the address that you send from. If it is right, show the words above to your "
                                "provider."),
        Cause.AUTHENTICATION: _("Check the records of your domain on the page Domains, or ask your provider to."),
        Cause.OUR_NAME: ask_provider,
        Cause.OUR_TROUBLE: ask_provider,
        Cause.NO_TLS: ask_provider,
        Cause.NOT_RESPONSIBLE: _("Let the recipient know in another way: the mail of their domain is sent to a server "
                                 "that does not take it."),
        Cause.NO_SUCH_DOMAIN: _("Look for a typing error after the @ sign."),
        Cause.UNREACHABLE: _("Look for a typing error after the @ sign. If the address is right, let the recipient "
                             "know in another way, and send the message again later."),
        Cause.GREYLISTED: _("Send the message again in an hour."),
    }.get(cause)  # fmt: skip
    return found or _("Look for a typing error in the address.") + " " + show_it


def why_deferred(cause: Cause, words: Words) -> tuple[str, str]:
    """What the waiting is about, and whether the sender has to do something."""
    _ = words.gettext
    wait = _("You need not do anything: we keep trying.")
    check_domain = _("Look for a typing error after the @ sign. If there is none, you need not do anything.")
    return {
        Cause.GREYLISTED: (
            _("Their server has greylisted it: it asks every sender that it does not know to come back once."),
            _("That is usual. Nothing is wrong, and you need not do anything."),
        ),
        Cause.PERHAPS_GREYLISTED: (
            _("Their server has put it off. Most likely it is greylisted: many servers ask a sender that they do not "
              "know to come back once."),
            wait,
        ),
        Cause.UNREACHABLE: (_("No mail server of that domain can be reached at the moment."), check_domain),
        Cause.NO_SUCH_DOMAIN: (_("The mail servers of that domain cannot be found at the moment."), check_domain),
        Cause.INTERRUPTED: (_("The connection with their server broke off."), wait),
        Cause.MAILBOX_FULL: (
            _("Their server says that the recipient's mailbox is full."),
            _("Let the recipient know in another way. We keep trying."),
        ),
        Cause.BLOCKED: (
            _("Their server has put it off: it says that a filter or a blacklist is against it."),
            _("Show the words below to your provider. We keep trying."),
        ),
        Cause.SLOWED_DOWN: (_("Their server takes mail from ours more slowly than it comes."), wait),
        Cause.THEIR_TROUBLE: (_("Their server has trouble of its own at the moment."), wait),
        Cause.OUR_TROUBLE: (
            _("Our own server cannot deliver it at the moment."),
            _("You need not do anything. If it lasts, show the words below to your provider."),
        ),
        Cause.AUTHENTICATION: (
            _("Their server asks that the sender's domain vouches for the message (SPF, DKIM or DMARC)."),
            _("Check the records of your domain on the page Domains. We keep trying."),
        ),
    }.get(cause, (_("Their server has put it off."), wait))  # fmt: skip
