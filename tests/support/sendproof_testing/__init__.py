"""The sandbox (a whole private installation on loopback) and what tests and the demo share."""
