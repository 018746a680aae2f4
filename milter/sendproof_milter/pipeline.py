"""The steps that every message takes, in their order. Decides; what it needs from outside is passed in as `Services`.

First pass: who -> may -> charge -> route -> edit -> sign. Of a message that was routed to one copy for each recipient,
each gets its pixel, and new signatures, on a second pass: recognise -> edit -> sign. Policy fails closed (a refusal, or
`Unavailable`, which becomes 451); decoration fails open (the message goes out without a pixel and the reason is
recorded).
"""

import datetime as dt
from collections.abc import Callable

from sendproof_core import tokens
from sendproof_core.journal_records import SignatureRecord
from sendproof_milter import pixel, signing, split_stamp, wire_safe
from sendproof_milter.message import MOST_HEADER_FIELDS, MOST_HEADER_OCTETS, domain_of, from_addresses
from sendproof_milter.sender import SigningKey
from sendproof_milter.work import TRACE_HEADER, TRACK_HEADER, Reason, Refusal, Services, Site, Unavailable, Work

# As long as a complaint about a message may come; the token names nobody.
_TRACE_LIFETIME = dt.timedelta(days=3650)
_PIXEL_LIFETIME = dt.timedelta(days=730)
# Longer than a copy can wait in the queue for its second pass (maximal_queue_lifetime, 5 days).
_STAMP_LIFETIME = dt.timedelta(days=10)
SIGNATURE_HEADER = "DKIM-Signature"
# Fields that are ours to write: a client's own are removed.
OWN_HEADERS = (TRACE_HEADER, TRACK_HEADER, split_stamp.HEADER)
_OWN = frozenset(name.lower().encode("ascii") for name in OWN_HEADERS)

Step = Callable[[Work, Services, Site], Work | Refusal]


def who(work: Work, services: Services, site: Site) -> Work | Refusal:
    """The login's account, plan and keys."""
    del site
    if not work.submission.login:
        return Refusal(Reason.NO_LOGIN, 530, "5.7.0", "Sign in first: this service takes mail from its own users only")
    sender = services.sender(work.submission.login)
    if sender is None:
        return Refusal(Reason.UNKNOWN_LOGIN, 550, "5.7.1", "This login has no account or was revoked")
    return work.but(sender=sender)


def recognise(work: Work, services: Services, site: Site) -> Work | Refusal:
    """Whose copy this is, on the second pass: only a stamp of the first one is believed."""
    values = work.submission.header_values(split_stamp.HEADER)
    stamp = split_stamp.read(values, site.token_keys, work.received_at)
    if stamp is None:
        return Refusal(Reason.NO_STAMP, 550, "5.7.1", "This service takes copies from our own queue only")
    submission = work.submission
    headers = _without_first(_without_own(submission.headers), SIGNATURE_HEADER, stamp.signatures)
    if stamp.content != _content_digest(work, headers, signing.body_hash(submission.body)):
        return Refusal(Reason.NO_STAMP, 550, "5.7.1", "This copy is not what our own queue was given")
    sender = services.account(stamp.account_id)
    if sender is None:
        raise Unavailable(f"account {stamp.account_id} is gone")
    # The recipient's own address first: a client may say of several that they were the same one once (ORCPT). An alias
    # puts others in the place of the recipient that was submitted, which Postfix then names as the original.
    number = stamp.number_of(*submission.recipients, *submission.original_recipients)
    work = work.but(
        message_id=stamp.message_id,
        sender=sender,
        stamp=stamp,
        recipient_number=number,
        wants_pixel=number > 0,
        signed_headers=headers,
    )
    return work if number else work.but(pixel=pixel.NoPixel.UNKNOWN_RECIPIENT.value)


def may(work: Work, services: Services, site: Site) -> Work | Refusal:
    """Whether the account may send now, this message, and as the addresses that it names."""
    del services, site
    sender, submission = work.known_sender, work.submission
    if sender.suspended_reason is not None:
        return Refusal(Reason.SUSPENDED, 550, "5.7.1", f"This account is suspended: {_ascii(sender.suspended_reason)}")
    if submission.header_dropped:
        most = f"{MOST_HEADER_OCTETS} octets and {MOST_HEADER_FIELDS} fields"
        text = f"The header of this message is too large: at most {most}"
        return Refusal(Reason.TOO_LARGE, 552, "5.3.4", text)
    # An empty envelope sender is right for read receipts and automatic replies (RFC 8098 section 2.1).
    if submission.envelope_sender and not sender.may_use(submission.envelope_sender):
        text = (
            f"<{_ascii(submission.envelope_sender)}> does not belong to your account: send with an address of your own"
        )
        return Refusal(Reason.FOREIGN_SENDER, 550, "5.7.1", text)
    addresses = from_addresses(submission)
    if addresses is None:
        return Refusal(
            Reason.NO_FROM,
            550,
            "5.7.1",
            "From is missing or cannot be understood: write it as '\"Your name\" <you@your.domain>'",
        )
    for address in addresses:
        if not sender.may_use(address):
            text = f"From: <{_ascii(address)}> does not belong to your account: use an address of your own"
            return Refusal(Reason.FOREIGN_FROM, 550, "5.7.1", text)
    if not _signing_keys(work):
        raise Unavailable("no active DKIM key signs for this message")
    refusal = _over_message_limits(work)
    return refusal or work.but(signed_headers=_without_own(submission.headers))


def charge(work: Work, services: Services, site: Site) -> Work | Refusal:
    """The plan's limits, raised all together or not at all. What is not sent is not charged."""
    submission, sender = work.submission, work.known_sender
    if sender.test_mode:
        return work
    try:
        over = services.charge(sender, work.message_id, submission)
    except Unavailable:
        if site.accept_uncharged:
            return work
        raise
    if over is not None:
        return Refusal(Reason.OVER_QUOTA, over.code, over.dsn, over.reply_text(sender.time_zone), over.name)
    return work.but(charged_recipients=len(submission.recipients))


def route(work: Work, services: Services, site: Site) -> Work:
    """Whether Postfix makes a copy for each recipient: only for a pixel of their own, and only if one can be put in."""
    del services
    sender, submission = work.known_sender, work.submission
    # Recipient 0 stands for all of them: a milter sees one body, however many it is for.
    work = work.but(recipient_number=int(len(submission.recipients) == 1))
    unwanted = _unwanted(work)
    if unwanted is not None:
        return work.but(pixel=unwanted.value)
    work = work.but(wants_pixel=True)
    several = 1 < len(submission.recipients) <= split_stamp.MOST_RECIPIENTS
    if not several or sender.shared_pixel or sender.test_mode or not site.split:
        return work
    match pixel.insert(submission, _image(work, site)):
        case pixel.WithPixel():
            return work.but(pixel=pixel.INSERTED, split=True)
        case reason:
            return work.but(pixel=reason.value, wants_pixel=False)


def edit(work: Work, services: Services, site: Site) -> Work:
    """The pixel, where one is wanted and the message can carry it; what makes it safe on the way; the trace header."""
    del services
    if work.wants_pixel and not work.split:
        match pixel.insert(work.submission, _image(work, site)):
            case pixel.WithPixel(body):
                work = work.but(pixel=pixel.INSERTED, new_body=body)
                work.submission.let_go_of_body()
            case reason:
                work = work.but(pixel=reason.value)
    safe = wire_safe.make_safe(work.signed_headers, work.body, smtputf8=work.submission.smtputf8)
    return work.but(
        new_body=work.new_body if safe.body is None else safe.body,
        changed_fields=safe.changed_fields,
        signed_headers=wire_safe.apply_fields(work.signed_headers, safe.changed_fields),
        wire_edits=tuple(found.value for found in safe.edits),
        trace=_token(tokens.Purpose.TRACE, work, site, work.received_at + _TRACE_LIFETIME),
    )


def sign(work: Work, services: Services, site: Site) -> Work:
    """A signature with the domain of the From address where the account has its key, and with the provider's."""
    del services, site
    keys = _signing_keys(work)
    if not keys:
        raise Unavailable("no active DKIM key signs for this message")
    body_hash = signing.body_hash(work.body)
    values = signing.sign_each(work.signed_headers, body_hash, keys, work.received_at)
    records = tuple(SignatureRecord(key.domain, key.selector, key.algorithm) for key in keys)
    return work.but(body_hash=body_hash, signatures=records, signature_values=values)


STEPS: tuple[Step, ...] = (who, may, charge, route, edit, sign)
SECOND_PASS: tuple[Step, ...] = (recognise, edit, sign)


def run(work: Work, services: Services, site: Site, steps: tuple[Step, ...] = STEPS) -> tuple[Work, Refusal | None]:
    """All steps, or those up to the first refusal; the work as it was then.

    Raises:
        Unavailable: policy could not be decided; answer 451.
    """
    for step in steps:
        outcome = step(work, services, site)
        if isinstance(outcome, Refusal):
            return work, outcome
        work = outcome
    return work, None


def stamp_of(work: Work, site: Site) -> str:
    """The field that sends a message to the second pass, for one that was `route`d there and is signed."""
    submission = work.submission
    stamp = split_stamp.Stamp(
        message_id=work.message_id,
        account_id=work.known_sender.account_id,
        parent_queue_id=submission.queue_id,
        expires=work.received_at + _STAMP_LIFETIME,
        recipients=tuple(split_stamp.digest_of(recipient) for recipient in submission.recipients),
        content=_content_digest(work, work.signed_headers, work.body_hash),
        signatures=len(work.signature_values),
    )
    return split_stamp.make(stamp, site.token_key_number, site.token_keys[site.token_key_number])


def _unwanted(work: Work) -> pixel.NoPixel | None:
    """Why no pixel is wanted: the account's choice, or that for this message."""
    wishes = {value.strip().lower() for value in work.submission.header_values(TRACK_HEADER)}
    if b"no" in wishes:
        return pixel.NoPixel.OPTED_OUT
    if work.known_sender.tracking or b"yes" in wishes:
        return None
    return pixel.NoPixel.TRACKING_OFF


def _image(work: Work, site: Site) -> bytes:
    purpose = tokens.Purpose.PIXEL_DETAILED if work.known_sender.open_details else tokens.Purpose.PIXEL
    token = _token(purpose, work, site, work.received_at + _PIXEL_LIFETIME)
    picture = work.known_sender.tracking_image
    if picture is None:
        return pixel.image_tag(f"{site.tracking_url}/o/{token}.gif", visible=False)
    return pixel.image_tag(f"{site.tracking_url}/o/{token}/{picture}", visible=True)


def _over_message_limits(work: Work) -> Refusal | None:
    limits, submission = work.known_sender.limits, work.submission
    most, count = limits.recipients_per_message, len(submission.recipients)
    if most is not None and count > most:
        text = f"Plan limit: {most} recipients per message, this message has {count}; send it in several parts"
        return Refusal(Reason.TOO_MANY_RECIPIENTS, 550, "5.5.3", text, "recipients_per_message")
    largest, size = limits.message_octets, submission.size_bytes
    if largest is not None and size > largest:
        text = f"Plan limit: {largest} octets per message, this message has {size}; send a link to large files instead"
        return Refusal(Reason.TOO_LARGE, 552, "5.3.4", text, "message_octets")
    return None


def _signing_keys(work: Work) -> tuple[SigningKey, ...]:
    """The From domain's own active keys and the provider's; not those of the account's other domains."""
    sender = work.known_sender
    addresses = from_addresses(work.submission) or ()
    from_domain = domain_of(addresses[0]) if addresses else ""
    return tuple(key for key in sender.keys if key.domain == from_domain) + sender.provider_keys


def _content_digest(work: Work, headers: signing.Headers, body_hash: bytes) -> bytes:
    from_fields = (signing.relaxed_header(name, value) for name, value in headers if name.lower() == b"from")
    return split_stamp.content_digest(work.submission.envelope_sender, from_fields, body_hash)


def _without_first(headers: signing.Headers, name: str, count: int) -> tuple[tuple[bytes, bytes], ...]:
    wanted = name.lower().encode("ascii")
    places = [place for place, (found, _) in enumerate(headers) if found.lower() == wanted][:count]
    return tuple(pair for place, pair in enumerate(headers) if place not in places)


def _without_own(headers: signing.Headers) -> tuple[tuple[bytes, bytes], ...]:
    return tuple(pair for pair in headers if pair[0].lower() not in _OWN)


def _token(purpose: tokens.Purpose, work: Work, site: Site, expires: dt.datetime) -> str:
    token = tokens.Token(purpose, work.message_id, work.recipient_number, expires)
    return tokens.make(token, site.token_key_number, site.token_keys[site.token_key_number])


def _ascii(text: str) -> str:
    """Printable ASCII for an SMTP reply, short."""
    return "".join(character if " " <= character <= "~" else "?" for character in text)[:200]
