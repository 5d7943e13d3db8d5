"""Whether this run writes ready frames past the servers' own send, unless a test says.

``pytest --direct-writes=off`` runs the tests as if each server knew nothing of ready
frames: ``Options.direct_writes`` is then off by default. The environment hands that to
the programs that tests start; what they serve imports this module and calls
:func:`adopt`. The product reads no such variable.
"""

import os

from pondsocket import Options

__all__ = ["CHOICES", "VARIABLE", "adopt", "choose"]

CHOICES = ("on", "off")
VARIABLE = "POND_TEST_DIRECT_WRITES"


def choose(choice: str) -> None:
    """Make one of the choices for this process and all that it starts."""
    os.environ[VARIABLE] = choice
    adopt()


def adopt() -> None:
    """Make the choice of who started this process; on, if nobody chose."""
    is_on = os.environ.get(VARIABLE, "on") == "on"
    Options.direct_writes = is_on
    Options.__init__.__kwdefaults__["direct_writes"] = is_on
