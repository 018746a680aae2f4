"""What is said of a domain's records on the pages: a word, and a sentence that tells what to do. Judges nothing."""

from dataclasses import dataclass

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from sendproof_core.domain_directory import OwnDomain
from sendproof_core.domain_records import Finding, Problem, Subject, Verdict
from sendproof_core.hostile_text import visible


@dataclass(frozen=True)
class Label:
    """A word with its tone, as the pills show it."""

    tone: str
    text: str


_VERDICTS = {
    Verdict.GOOD: ("good", _l("Right")),
    Verdict.WAITING: ("waiting", _l("Nearly there")),
    Verdict.WRONG: ("bad", _l("Wrong")),
    Verdict.MISSING: ("bad", _l("Missing")),
    Verdict.UNKNOWN: ("unsure", _l("Not known")),
}
_TITLES = {
    Subject.PROOF: _l("That the domain is yours"),
    Subject.DKIM: _l("Signature (DKIM)"),
    Subject.SPF: _l("Sending servers (SPF)"),
    Subject.DMARC: _l("Policy (DMARC)"),
    Subject.MX: _l("Replies (MX)"),
}
_WHY = {
    Subject.PROOF: _l("Only who manages the domain can publish this. It is for your account alone."),
    Subject.DKIM: _l("Receivers check our signature with it, and it shows that the domain is yours."),
    Subject.SPF: _l("It names the servers that may send mail of this domain. A domain has one such record."),
    Subject.DMARC: _l("It tells receivers what to do with mail that only pretends to be from this domain."),
    Subject.MX: _l("Where answers to your mail go. We change nothing about it."),
}
_ANY = {
    Problem.NO_ANSWER: _l("DNS gave no answer in time. That says nothing about the record: look again in a minute."),
    Problem.NONE: _l("The record is there, as it should be."),
    Problem.NOT_THERE: _l(
        "There is no such record yet. Publish the one that is shown; it can take an hour until it is seen."
    ),
    Problem.OTHER_VALUE: _l(
        "There is a record of this name, but it says something else. Put the one shown in its place."
    ),
    Problem.OUR_ZONE_LACKS_KEY: _l(
        "Your record is right. The key behind it is not published by us yet: there is nothing for you to do. Look "
        "again later."
    ),
    Problem.KEY_DIRECTLY: _l(
        "Here is the key itself instead of the CNAME. It works until we change the key: better publish the CNAME."
    ),
}
_PARTICULAR = {
    (Subject.SPF, Problem.NOT_THERE): _l(
        "The domain has no SPF record. Publish the one that is shown. If other servers send mail of this domain, too, "
        "add them before ~all."
    ),
    (Subject.SPF, Problem.SEVERAL): _l(
        "There are %(count)s SPF records, which receivers take for an error. Put one in place of all of them: the one "
        "that is shown says what they say, and names our servers."
    ),
    (Subject.SPF, Problem.NOT_INCLUDED): _l(
        "Your SPF record does not name our servers. Change it to the one that is shown: it is yours, with our part "
        "added."
    ),
    (Subject.SPF, Problem.MALFORMED): _l(
        "Receivers do not understand your SPF record: “%(term)s” is no part that it can have. Correct that."
    ),
    (Subject.SPF, Problem.TOO_MANY_LOOKUPS): _l(
        "Receivers need %(lookups)s DNS look-ups for your SPF record. They stop at %(most)s and take it for an error. "
        "Take out what you do not need any more."
    ),
    (Subject.SPF, Problem.TOO_MANY_VOID): _l(
        "%(lookups)s names in your SPF record lead nowhere. Receivers allow %(most)s and take more for an error. Take "
        "them out."
    ),
    (Subject.SPF, Problem.BROKEN_INCLUDE): _l(
        "Your SPF record includes “%(name)s”, which has no SPF record of its own. Receivers take the whole for an "
        "error. Take that part out."
    ),
    (Subject.SPF, Problem.INCLUDED): _l(
        "It names our servers. Receivers need %(lookups)s of the %(most)s DNS look-ups that they allow."
    ),
    (Subject.DMARC, Problem.NOT_THERE): _l(
        "The domain has no DMARC policy, and large receivers expect one. The one that is shown is a safe first step: "
        "it changes nothing about what becomes of your mail."
    ),
    (Subject.DMARC, Problem.SEVERAL): _l(
        "There are %(count)s DMARC policies, and receivers then follow none of them. Keep one."
    ),
    (Subject.DMARC, Problem.MALFORMED): _l(
        "Receivers do not understand this policy: it needs p=none, p=quarantine or p=reject. Put the one shown in its "
        "place."
    ),
    (Subject.DMARC, Problem.POLICY): _l(
        "Your policy is “%(policy)s”. Our signature carries your domain, so the mail that we send for you meets it."
    ),
    (Subject.DMARC, Problem.INHERITED_POLICY): _l(
        "The policy of %(name)s holds here, too: “%(policy)s”. Our signature carries your domain, so the mail that we "
        "send for you meets it."
    ),
    (Subject.MX, Problem.NONE): _l("Answers can reach you."),
    (Subject.MX, Problem.ONLY_ADDRESS): _l(
        "There is no MX record. Answers go to the server at the domain's own address, which some senders do not try."
    ),
    (Subject.MX, Problem.TAKES_NO_MAIL): _l(
        "The domain says that it takes no mail: nobody can answer you, and some receivers refuse mail from it."
    ),
    (Subject.MX, Problem.NOT_THERE): _l(
        "The domain has no MX record and no address: nobody can answer you, and some receivers refuse mail from it."
    ),
}


def title(finding: Finding) -> str:
    """What the record is for, in a few words."""
    text = str(_TITLES[finding.subject])
    return _("%(title)s: key %(name)s", title=text, name=finding.selector) if finding.selector else text


def why(finding: Finding) -> str:
    """What it is good for."""
    return str(_WHY[finding.subject])


def label(finding: Finding) -> Label:
    """The verdict, as a pill."""
    tone, text = _VERDICTS[finding.verdict]
    return Label(tone, str(text))


def sentence(finding: Finding) -> str:
    """What the verdict means, and what to do. Plain text: what came from DNS is made visible in it."""
    words = _PARTICULAR.get((finding.subject, finding.problem)) or _ANY[finding.problem]
    values = {name: visible(value) if isinstance(value, str) else value for name, value in finding.values.items()}
    return str(words) % values if values else str(words)


def state(domain: OwnDomain) -> Label:
    """A domain as a whole."""
    if not domain.is_proved:
        return Label("waiting", _("Not proved yet"))
    if domain.checked is None:
        return Label("unsure", _("Not looked at yet"))
    verdicts = {finding.verdict for finding in domain.checked.findings}
    if verdicts & {Verdict.WRONG, Verdict.MISSING}:
        return Label("bad", _("Something is to do"))
    if Verdict.WAITING in verdicts:
        return Label("waiting", _("Nearly there"))
    if Verdict.UNKNOWN in verdicts:
        return Label("unsure", _("Not all is known"))
    return Label("good", _("All is right"))
