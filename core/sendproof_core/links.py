"""How one queue file comes out of another, and which of these ways a recipient's mail goes on. Pure."""

import enum


class LinkKind(enum.StrEnum):
    """What a queue file is to its parent."""

    # made by our split transport: one recipient's own copy
    COPY = "copy"
    # given back by a content filter, or handed to another Postfix instance of this machine
    FILTER = "filter"
    # local(8): an alias or .forward file that leads elsewhere
    FORWARD = "forward"
    # `postsuper -r`
    REQUEUE = "requeue"
    # taken over by another of our hosts, whose own log is in the record
    RELAY = "relay"
    # about the parent, not the parent's mail
    NON_DELIVERY = "non-delivery"
    DELAY = "delay"
    DELIVERY_STATUS = "delivery status"
    POSTMASTER = "postmaster"


# The recipient's mail goes on in the child: what becomes of it there is what became of it.
CONTINUES = frozenset((LinkKind.COPY, LinkKind.FILTER, LinkKind.FORWARD, LinkKind.REQUEUE, LinkKind.RELAY))


class LinkEvidence(enum.StrEnum):
    """What says that a queue file comes from its parent."""

    # smtpd(8) names the parent on the line of the child's client (XFORWARD IDENT)
    ORIGINAL_QUEUE_ID = "orig_queue_id"
    # our milter's journal
    JOURNAL = "journal"
    # "queued as CHILD" said by a server of this machine
    QUEUED_AS = "queued as"
    # amavis names the ids under which it gave a message back ("queued_as")
    FILTER_LINE = "queued_as"
    # local(8): "forwarded as CHILD"
    FORWARDED_AS = "forwarded as"
    # bounce(8): "sender non-delivery notification: CHILD"
    NOTIFICATION = "notification"
    # said by pickup(8) of what was put back into the queue
    ORIGINAL_ID = "orig_id"
    # "queued as CHILD" said by another of our hosts, where that queue file has the parent's Message-ID
    RELAYED_AS = "relayed as"
