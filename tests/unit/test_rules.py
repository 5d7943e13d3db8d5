"""Rules: what the annotation of a setting allows, and what an error says."""

import math
from dataclasses import dataclass
from typing import Annotated

import pytest

from pondsocket.rules import (
    Count,
    Deadline,
    Limit,
    Period,
    Rate,
    Rule,
    Switch,
    check_settings,
)


@dataclass
class Settings:
    limit: Limit = 0
    count: Count = 1
    rate: Rate = 0
    period: Period = 0.5
    deadline: Deadline = 1
    switch: Switch = False
    name: Annotated[str, "no rule", Rule("lower case", str.islower)] = "a"
    anything: object = None


@pytest.mark.parametrize(
    "allowed",
    [
        {},
        {"limit": 10, "count": 10, "rate": 0.5, "period": 0, "deadline": 0.001},
        {"switch": True, "anything": math.nan},
    ],
    ids=str,
)
def test_what_the_rules_allow_raises_nothing(allowed):
    check_settings(Settings(**allowed))


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("limit", -1, "a whole number of at least 0 (0: unlimited)"),
        ("limit", True, "a whole number of at least 0 (0: unlimited)"),
        ("count", 0, "a whole number of at least 1"),
        ("count", 1.0, "a whole number of at least 1"),
        ("rate", -0.1, "a number of at least 0 (0: unlimited)"),
        ("period", math.inf, "a number of seconds of at least 0 (0: never)"),
        ("deadline", 0, "a number of seconds above 0"),
        ("deadline", math.nan, "a number of seconds above 0"),
        ("deadline", "1", "a number of seconds above 0"),
        ("switch", 1, "True or False"),
        ("name", "A", "lower case"),
    ],
)
def test_an_error_names_the_field_what_is_allowed_and_the_value(field, value, allowed):
    with pytest.raises(ValueError, match=r"Settings\.") as refused:
        check_settings(Settings(**{field: value}))

    assert str(refused.value) == f"Settings.{field} must be {allowed}, got {value!r}"
