"""Which messages could cost too much."""

import json

import pytest

from pondsocket_asgi.endpoints.weight import is_too_heavy

MEGABYTE = 1_000_000


def nest(value, depth):
    for _ in range(depth):
        value = {"children": [value]}
    return value


@pytest.mark.parametrize(
    "value",
    [
        {"numbers": [1] * 300_000},
        {"text": "x" * MEGABYTE},
        {"k" * MEGABYTE: 1},
        {str(number): number for number in range(50_000)},
        {"people": [{"name": "Ada", "age": 36, "tags": ["a", "b"]}] * 10_000},
        {"shape": {"rings": [[[1.5, 2.5, 3.5]] * 20_000]}},
        {"tree": nest([1, 2, 3], 90)},
    ],
)
def test_what_applications_send_is_light(value):
    assert not is_too_heavy(value, len(json.dumps(value)))


@pytest.mark.parametrize(
    "value",
    [
        {"k" * 100_000: [1] * 100_000},
        {"x": {"k" * 100_000: {str(number): 1 for number in range(10_000)}}},
        {"tree": nest([1] * 100_000, 90)},
        {"tree": nest([[1]] * 50_000, 90)},
    ],
)
def test_what_repeats_long_places_is_too_heavy(value):
    assert is_too_heavy(value, len(json.dumps(value)))


def test_what_is_short_is_light_whatever_it_holds():
    value = {"k" * 8_000: [1] * 2_000}

    assert not is_too_heavy(value, len(json.dumps(value)))
