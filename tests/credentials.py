"""The credentials that tests use which are not about credentials: those of an operator of this process' fleet."""

from __future__ import annotations

from examples.local_boards import local_fleet
from transport.credentials import Credentials

OPERATOR = Credentials(local_fleet().operator)
