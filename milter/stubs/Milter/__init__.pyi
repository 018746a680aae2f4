# The few names of pymilter that we call.
from typing import Any

ADDHDRS: int
CHGHDRS: int
MODBODY: int
SETSYMLIST: int
CONTINUE: int
ACCEPT: int
REJECT: int
TEMPFAIL: int
DISCARD: int

milter: Any  # the C module
