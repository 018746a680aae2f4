"""Which queue file another one comes from: the condition of the queries that follow links. Runs no query."""

from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_


def is_named_as_parent(parent: Any, child: Any) -> ColumnElement[bool]:
    """Whether ``child`` says that it comes from a queue file of that name; a short queue id has several lives.

    Both: `schema.QueueFile`, an alias of it, or what has the columns that are named here.
    """
    return and_(
        child.parent_queue_id == parent.queue_id,
        func.coalesce(child.parent_host, child.host) == parent.host,
        child.id != parent.id,
    )


def is_relayed_life(parent: Any, child: Any) -> ColumnElement[bool]:
    """Of those that have the name: whether it is the life that another host has relayed.

    Two hosts' clocks do not say which of two was first; the Message-ID, which made the link, tells the lives apart.
    """
    return and_(child.parent_host.is_not(None), parent.message_id_header == child.message_id_header)


def is_parent(parent: Any, child: Any) -> ColumnElement[bool]:
    """Whether it comes from that life, or, on one host, from a later one that was there before the child as well."""
    earlier = and_(child.parent_host.is_(None), parent.born_at <= child.born_at)
    return and_(is_named_as_parent(parent, child), or_(earlier, is_relayed_life(parent, child)))
