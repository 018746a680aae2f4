"""Admits, marks and signs mail before Postfix queues it (pymilter)."""
