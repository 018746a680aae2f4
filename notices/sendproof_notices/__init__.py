"""Tells senders by mail what became of their messages. Reads the record; writes only its own outbox."""
