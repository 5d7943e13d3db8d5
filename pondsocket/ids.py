"""Random ids: the only place that makes them."""

import os
from typing import Final

__all__ = ["uuid"]

_AT_ONCE: Final = 256  # ids for which the operating system is asked once
_SIZE: Final = 32  # digits of one id

_ready: list[str] = []


def uuid() -> str:
    """Return a fresh random id: a version 4 UUID in its usual 36 characters.

    It holds 122 random bits from the operating system.
    """
    if not _ready:
        digits = os.urandom(_AT_ONCE * _SIZE // 2).hex()
        _ready.extend(
            _form(digits[start : start + _SIZE])
            for start in range(0, len(digits), _SIZE)
        )
    return _ready.pop()


def _form(digits: str) -> str:
    # RFC 9562, 5.4: the version, and two bits of the variant.
    variant = "89ab"[int(digits[16], 16) & 3]
    return (
        f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-"
        f"{variant}{digits[17:20]}-{digits[20:]}"
    )


# A child must not give out its parent's ids. Windows has no fork: there this makes a
# dictionary that nobody needs.
getattr(os, "register_at_fork", dict)(after_in_child=_ready.clear)
