"""A transcript reduced to one recipient, for that recipient's IT department. Pure.

Of other recipients nothing stays: not their RCPT TO lines, not the replies to them, not a mention of their addresses
anywhere. Of the account nothing stays either: no login, credential, client address, opens. What is left out is marked,
so that the rest is the evidence as it was. Has no words for a reader: `transcript_story` has.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

import idna

from sendproof_core import domain_names, pipelining
from sendproof_core.addresses import address_key
from sendproof_core.transcripts import (
    AttemptView,
    DialogueLine,
    GapView,
    HopView,
    MessageView,
    RecipientView,
    Transcript,
)

ANOTHER = "(another recipient)"
LEFT_OUT = "(left out)"


def for_recipient(found: Transcript, key: str) -> Transcript:
    """Only the recipient whose address, as the sender wrote it, has that `addresses.address_key`.

    Where it is an alias that leads to several, all of them are that recipient's. Without recipients: there is none.
    """
    chosen = tuple(view for view in found.recipients if address_key(view.address) == key)
    others = tuple(view for view in found.recipients if address_key(view.address) != key)
    redactor = _Redactor(found.message, chosen, others)
    return Transcript(_message(found.message, redactor), tuple(_recipient(view, redactor) for view in chosen))


def _message(message: MessageView, redactor: "_Redactor") -> MessageView:
    return replace(
        message,
        account_id=None,
        login=None,
        credential_label=None,
        message_id_header=redactor.optional(message.message_id_header),
        subject=redactor.optional(message.subject),
        client_address=None,
        client_tls=None,
        pixel=None,
        wire_edits=(),
        gaps=tuple(_gap(gap, redactor) for gap in message.gaps),
    )


def _gap(gap: GapView, redactor: "_Redactor") -> GapView:
    return replace(gap, text=redactor.text(gap.text))


def _recipient(view: RecipientView, redactor: "_Redactor") -> RecipientView:
    because = view.suspended_because
    return replace(
        view,
        attempts=tuple(_attempt(attempt, redactor) for attempt in view.attempts),
        opens=(),
        hops=tuple(_hop(hop, redactor) for hop in view.hops),
        suspended_because=None if because is None else redactor.about_someone(because),
    )


def _hop(hop: HopView, redactor: "_Redactor") -> HopView:
    return replace(
        hop,
        from_instance=redactor.text(hop.from_instance),
        instance=redactor.text(hop.instance),
        host=redactor.optional(hop.host),
    )


def _attempt(attempt: AttemptView, redactor: "_Redactor") -> AttemptView:
    return replace(
        attempt,
        relay=redactor.text(attempt.relay),
        host=redactor.optional(attempt.host),
        reply=redactor.text(attempt.reply),
        remote_queue_id=redactor.optional(attempt.remote_queue_id),
        tls=redactor.optional(attempt.tls),
        troubles=tuple(redactor.about_someone(trouble) for trouble in attempt.troubles),
        dialogue=redactor.dialogue(attempt.dialogue),
    )


# Postfix smtp_trouble.c: of what was said after RCPT TO it does not say to whom.
_SAID_OF_A_RECIPIENT = "in reply to RCPT TO"
# What our server tells a filter of the submission.
_FORWARDED = ("XFORWARD", "XCLIENT")
# A shorter name of a client would stand in any text.
_LONG_ENOUGH = 7
_LONGEST_ADDRESS = 320


class _Redactor:
    """Knows whose addresses may stand, and whose may not. What the sender's own is, every recipient knows."""

    def __init__(self, message: MessageView, chosen: Sequence[RecipientView], others: Sequence[RecipientView]) -> None:
        own = _addresses(chosen)
        self._own_keys = {address_key(address) for address in own}
        self._own = _any_of(_all_spellings(own))
        self._has_others = bool(others)
        allowed = [*own, *([message.envelope_sender] if message.envelope_sender else [])]
        allowed_keys = {address_key(address) for address in allowed}
        hidden = [address for address in _addresses(others) if address_key(address) not in allowed_keys]
        self._allowed = {word.casefold() for word in _all_spellings(allowed)}
        masked = {word for word in _all_spellings(hidden) if word.casefold() not in self._allowed}
        # "<ben>", "<ben@inside.example>": how a server names a mailbox of its own.
        locals_ = {_local(address) for address in hidden} - {_local(address) for address in allowed} - {""}
        boxed = rf"<(?:{_either(locals_)})(?:@[^<>\s]{{0,255}})?(?:>|$)" if locals_ else None
        parts = [_either({*self._allowed, *masked})] if masked else []
        parts += [boxed] if boxed else []
        self._pattern = re.compile("|".join(parts), re.IGNORECASE) if parts else None
        # A line that was cut may end in the middle of an address.
        self._begun = {word[:end].casefold() for word in masked for end in range(word.rfind("@") + 1, len(word))}
        client = message.client_address
        self._client = client if client and len(client) >= _LONG_ENOUGH else None

    def optional(self, text: str | None) -> str | None:
        """The same of what may be missing."""
        return None if text is None else self.text(text)

    def text(self, text: str) -> str:
        """Without any other recipient's address, nor the one that the message was submitted from."""
        if self._client is not None:
            text = text.replace(self._client, LEFT_OUT)
        if self._pattern is None:
            return text
        return self._without_cut(self._pattern.sub(self._replaced, text))

    def about_someone(self, text: str) -> str:
        """The same; and nothing of what was said of some recipient, where it does not name this one."""
        if self._has_others and _SAID_OF_A_RECIPIENT in text and not self._names_own(text):
            return ANOTHER
        return self.text(text)

    def dialogue(self, lines: tuple[DialogueLine, ...]) -> tuple[DialogueLine, ...]:
        """Without what was said to and of other recipients; what was left out in a row is marked once."""
        pairing = pipelining.pair(lines)
        kept: list[DialogueLine] = []
        in_envelope = False
        for line, spoken in zip(lines, pairing.spoken, strict=True):
            if not line.from_server:
                in_envelope = in_envelope or line.text[:4].upper() in ("MAIL", "RCPT")
            # Where lines are missing, a reply may belong to another command than the one it seems to answer.
            is_doubtful = in_envelope and line.from_server and not pairing.is_certain and self._has_others
            if is_doubtful:
                is_hidden = not self._names_own(line.text)
            else:
                is_hidden = spoken.recipient is not None and address_key(spoken.recipient) not in self._own_keys
            if is_hidden:
                if not (kept and kept[-1].text == ANOTHER and kept[-1].from_server == line.from_server):
                    kept.append(replace(line, text=ANOTHER))
            elif not line.from_server and line.text.upper().startswith(_FORWARDED):
                kept.append(replace(line, text=f"{line.text.split(' ', 1)[0]} {LEFT_OUT}"))
            else:
                kept.append(replace(line, text=self.text(line.text)))
        return tuple(kept)

    def _names_own(self, text: str) -> bool:
        return self._own is not None and self._own.search(text) is not None

    def _replaced(self, found: re.Match[str]) -> str:
        if found[0].casefold() in self._allowed:
            return found[0]
        return f"<{ANOTHER}>" if found[0].startswith("<") else ANOTHER

    def _without_cut(self, text: str) -> str:
        for length in range(min(len(text), _LONGEST_ADDRESS), 1, -1):
            end = text[-length:].casefold()
            if end in self._allowed:
                return text
            if end in self._begun:
                return text[:-length] + ANOTHER
        return text


def _addresses(views: Iterable[RecipientView]) -> list[str]:
    return [address for view in views for address in (view.address, view.final_address) if address]


def _local(address: str) -> str:
    key = address_key(address)
    return key.rpartition("@")[0] or key


def _all_spellings(addresses: Iterable[str]) -> set[str]:
    return {spelling for address in addresses for spelling in _spellings(address)}


def _spellings(address: str) -> set[str]:
    """How a log or a server may write it: with quotes or without, the domain in A-labels or in letters."""
    local, at, domain = address.rpartition("@")
    if not at:  # a user of our own machine: a word like any other, hidden where it stands as a mailbox
        return set()
    domains = {domain, domain.rstrip(".")}
    for other_form in (domain_names.to_ascii, idna.decode):
        try:
            domains.add(other_form(domain))
        except (ValueError, UnicodeError):
            continue
    plain = _local(address)
    return {f"{one}@{name}" for one in {local, plain, f'"{plain}"'} for name in domains if one and name}


def _either(words: Iterable[str]) -> str:
    """Longest first: an address may stand at the begin of a longer one."""
    return "|".join(re.escape(word) for word in sorted(set(words), key=lambda word: (-len(word), word)))


def _any_of(words: set[str]) -> re.Pattern[str] | None:
    return re.compile(_either(words), re.IGNORECASE) if words else None
