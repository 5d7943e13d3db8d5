"""Weight: what it would cost to say where in a message everything is wrong.

pydantic notes each error with its place, and the names on the way to it are copied
every time. Below one long name, or behind many, a message of a megabyte can so take
gigabytes before anybody sees its errors. What the places of all its values together
would take is known beforehand.
"""

from typing import Any

__all__ = ["is_too_heavy"]

_ALWAYS_LIGHT = 16_384  # characters, or bytes; too short to do harm
_MOST_PER_CHARACTER = 200  # bytes of places; tables have 40, polygons 100
_PART = 32  # bytes that a part of a place takes beside its name


def is_too_heavy(fields: dict[str, Any], size: int) -> bool:
    """Tell whether an object from JSON of ``size`` characters could cost too much."""
    if size <= _ALWAYS_LIGHT:
        return False
    most = size * _MOST_PER_CHARACTER
    weight = 0
    waiting: list[tuple[dict[str, Any] | list[Any], int]] = [(fields, 0)]
    while waiting and weight <= most:
        container, way = waiting.pop()
        if isinstance(container, dict):
            for name, inner in container.items():
                here = way + _PART + len(name)
                weight += here
                if isinstance(inner, dict | list):
                    waiting.append((inner, here))
        else:
            here = way + _PART
            weight += here * len(container)
            waiting += [(x, here) for x in container if isinstance(x, dict | list)]
    return weight > most
