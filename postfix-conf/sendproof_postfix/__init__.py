"""Sendproof's settings of Postfix and Dovecot: what they are, put into a Postfix that is there, and proved to work."""
