"""Names: a topic or wildcard as the server knows it."""

import re
from typing import Final, NamedTuple

__all__ = ["EXACT", "SHARDED", "WILDCARD", "Name", "is_wildcard", "to_glob", "to_name"]

EXACT: Final = b""
WILDCARD: Final = b"P"
SHARDED: Final = b"S"

_WILDCARD_END: Final = ".*"
_SPECIAL: Final = re.compile(r"[*?\[\]\\^-]")


class Name(NamedTuple):
    """What one subscription command takes."""

    kind: bytes
    """Begins the command's name: ``P`` for ``PSUBSCRIBE``."""
    text: bytes
    """A topic, for ``P`` a glob."""


def is_wildcard(pattern: str) -> bool:
    """Tell whether ``match_topic`` takes a pattern as a wildcard."""
    return pattern.endswith(_WILDCARD_END) and len(pattern) > len(_WILDCARD_END)


def to_glob(pattern: str) -> str:
    r"""Return the glob of a wildcard: ``a[1].*`` is ``a\[1\]*``.

    All that stands before the end means only itself.
    """
    literal = pattern.removesuffix(_WILDCARD_END)
    return _SPECIAL.sub(r"\\\g<0>", literal) + "*"


def to_name(pattern: str) -> Name:
    """Return what to subscribe to for a pattern; only wildcards take a glob.

    A server compares each message with each glob, but finds a topic by its name.
    """
    if is_wildcard(pattern):
        return Name(WILDCARD, to_glob(pattern).encode())
    return Name(EXACT, pattern.encode())
