"""Rules: what a setting may hold, said in the annotation of its field.

Sizes are in bytes, times in seconds::

    @dataclass(kw_only=True)
    class Settings:
        ping_interval: Period = 25.0

        def __post_init__(self) -> None:
            check_settings(self)
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

__all__ = [
    "Count",
    "Deadline",
    "Limit",
    "Period",
    "Rate",
    "Rule",
    "Switch",
    "check_settings",
]


@dataclass(frozen=True, slots=True)
class Rule:
    """What a field may hold: the test, and how an error says it.

    Attributes:
        allowed: Completes "must be".
        admits: Gets any value; tells whether it is allowed.
    """

    allowed: str
    admits: Callable[[Any], bool]


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    # The comparison is False for NaN too.
    return _is_whole(value) or (isinstance(value, float) and abs(value) < math.inf)


Limit = Annotated[
    int,
    Rule(
        "a whole number of at least 0 (0: unlimited)", lambda x: _is_whole(x) and x >= 0
    ),
]
Count = Annotated[
    int,
    Rule("a whole number of at least 1", lambda x: _is_whole(x) and x >= 1),
]
Rate = Annotated[
    float,
    Rule("a number of at least 0 (0: unlimited)", lambda x: _is_number(x) and x >= 0),
]
Period = Annotated[
    float,
    Rule(
        "a number of seconds of at least 0 (0: never)",
        lambda x: _is_number(x) and x >= 0,
    ),
]
Deadline = Annotated[
    float,
    Rule("a number of seconds above 0", lambda x: _is_number(x) and x > 0),
]
Switch = Annotated[
    bool,
    Rule("True or False", lambda x: isinstance(x, bool)),
]


def check_settings(settings: object) -> None:
    """Hold each field of a dataclass against the rule in its annotation, if it has one.

    Called by its ``__post_init__``.

    Raises:
        ValueError: If a value is none that its field allows; names class, field, what
            is allowed, and the value.
    """
    kind = type(settings)
    for name, rule in _read_rules(kind).items():
        value = getattr(settings, name)
        if not rule.admits(value):
            raise ValueError(
                f"{kind.__name__}.{name} must be {rule.allowed}, got {value!r}"
            )


def _read_rules(kind: type) -> dict[str, Rule]:
    return {
        name: part
        for name, hint in get_type_hints(kind, include_extras=True).items()
        for part in getattr(hint, "__metadata__", ())
        if isinstance(part, Rule)
    }
