"""Every member gets what was produced for it, once and in that order, on any wire.

What is produced is made up, and so is who joins, leaves, stops reading or vanishes
meanwhile; a simple model knows what each client must have got in the end.

``POND_ORDER_EXAMPLES=500`` looks longer.
"""

import asyncio
import itertools
import logging
import os
from collections.abc import Callable, Iterator
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pondsocket import fanout
from tests.adapters.order.places import PLACES
from tests.adapters.order.steps import INTERRUPTED, STEPS
from tests.adapters.order.theatre import Theatre

pytestmark = pytest.mark.timeout(300)  # with time to make a failure smaller

EXAMPLES = int(os.environ.get("POND_ORDER_EXAMPLES", "20"))

SWITCHES = ("direct_writes", "compression")  # options that matter on a wire
CHOICES = [
    dict(zip(SWITCHES, values, strict=True))
    for values in itertools.product((True, False), repeat=len(SWITCHES))
]
CASES = {
    "-".join([place.name, *(name for name in SWITCHES if options.get(name))]): (
        place,
        options,
    )
    for place in PLACES
    for options in (CHOICES if place.has_wire else [{}])
}

KINDS = st.lists(st.integers(0, 6), min_size=3, max_size=6)
MEMBERS = st.integers(0, 6)
SLICES = st.sampled_from([1, 2, fanout.SLICE])


@pytest.fixture(params=CASES.values(), ids=CASES)
def play(request: pytest.FixtureRequest) -> Iterator[Callable[..., None]]:
    """Play once, at one place, with one choice of options."""
    with asyncio.Runner() as runner:
        opening = Theatre.open(*request.param)
        theatre = runner.run(opening.__aenter__())
        yield lambda *args, **settings: runner.run(theatre.play(*args, **settings))
        runner.run(opening.__aexit__(None, None, None))


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@example(kinds=range(7), members=7, steps=INTERRUPTED, size=1, is_guarded=True)
@example(kinds=range(6, -1, -1), members=7, steps=INTERRUPTED, size=2, is_guarded=False)
@given(kinds=KINDS, members=MEMBERS, steps=STEPS, size=SLICES, is_guarded=st.booleans())
def test_whatever_happens_everybody_gets_its_messages_in_the_order_they_were_made(
    play, caplog, kinds, members, steps, size, is_guarded
):
    with patch.object(fanout, "SLICE", size):
        play(kinds, members, steps, is_guarded=is_guarded)

    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]
