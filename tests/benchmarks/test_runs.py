"""Servers and loads, started and ended for real."""

from dataclasses import replace

import psutil
import pytest

from benchmarks.fanout import runs as module
from benchmarks.fanout.contenders import (
    AS_IT_IS,
    BY_NAME,
    C_JOINED,
    C_SEND,
    OUR_AIOHTTP,
    OUR_ASGI,
    OUR_WEBSOCKETS,
)
from benchmarks.fanout.runs import FailedError, run
from benchmarks.fanout.scenarios import Scenario

HEADER = 2  # bytes of a frame with a short message
OURS = [OUR_AIOHTTP, OUR_WEBSOCKETS, OUR_ASGI, AS_IT_IS, "ours, bridge"]
MEMBERS, BROADCASTS = 3, 40


def scenario(*phases, **more):
    return Scenario("tiny", phases, (), (), 1, **more)


COUNTED = scenario(f"join:{MEMBERS}", f"count:{BROADCASTS}:64")


@pytest.mark.parametrize("name", [C_SEND, C_JOINED])
def test_a_room_in_c_sends_just_what_it_was_told(name, programs):
    _, counted = run(BY_NAME[name], COUNTED, programs)

    assert counted["bytes"] == MEMBERS * BROADCASTS * (64 + HEADER)


@pytest.mark.parametrize("name", [*OURS, f"{OUR_ASGI}, batch frames"])
def test_every_delivery_of_ours_is_counted_once(name, programs):
    _, counted = run(BY_NAME[name], COUNTED, programs)

    assert (counted["deliveries"], counted["disordered"]) == (MEMBERS * BROADCASTS, 0)


def test_compressed_deliveries_are_counted_and_are_shorter(programs):
    _, counted = run(BY_NAME[f"{OUR_ASGI}, compression"], COUNTED, programs)

    assert counted["deliveries"] == MEMBERS * BROADCASTS
    assert counted["bytes"] < counted["deliveries"] * 200


def test_messages_in_an_envelope_are_as_long_as_ours(programs):
    bare, ours = (
        run(BY_NAME[name].enveloped(), COUNTED, programs)[1]["bytes"]
        for name in (C_SEND, OUR_AIOHTTP)
    )

    assert bare == ours


def test_an_echo_is_told_with_its_latency(programs):
    load = scenario("join:2", "echo:64:0.2", is_echo=True, options=("--warm", "0.1"))

    _, echoed = run(BY_NAME[OUR_AIOHTTP], load, programs)

    assert echoed["deliveries"] > 0
    assert 0 < echoed["p50"] <= echoed["p99"]


def test_a_fixed_rate_is_kept(programs):
    load = scenario("join:2", "rate:100:64:0.5", options=("--warm", "0"))

    _, rated = run(BY_NAME[C_SEND], load, programs)

    assert 20 <= rated["deliveries"] <= 102  # of 100, on a machine that may be busy


def test_slow_members_come_and_go_while_others_are_served(programs):
    load = scenario("join:2", "slow:1:9000:20", "count:5:64", "gone", "count:5:64")

    answers = run(BY_NAME[OUR_AIOHTTP], load, programs)

    assert [each["deliveries"] for each in answers] == [2, 0, 10, 0, 10]


def test_memory_is_told_of_each_phase(programs):
    load = scenario("join:2", "settle:0.05", "idle", "join:2", "idle")

    answers = run(BY_NAME[C_SEND], load, programs)

    assert all(each["memory"] > 0 for each in answers)


def test_a_server_that_does_not_start_is_named_with_what_it_said(programs):
    broken = replace(BY_NAME[OUR_AIOHTTP], program=("serve_pond.py", "nowhere"))

    with pytest.raises(FailedError, match="nowhere"):
        run(broken, COUNTED, programs)


def test_a_load_that_fails_is_named_with_what_it_said(programs):
    with pytest.raises(FailedError, match="no phase dance"):
        run(BY_NAME[C_SEND], scenario("dance"), programs)


def test_a_run_without_end_is_cut_off(programs, monkeypatch):
    monkeypatch.setattr(module, "DEADLINE", 0.5)

    # long before its time is over, and this test's; the server's comes first
    with pytest.raises(FailedError, match="client 0 was cut off"):
        run(BY_NAME[C_SEND], scenario("join:1", "rate:10:64:60"), programs)


@pytest.mark.parametrize("phase", ["count:1:64", "dance"])
def test_nothing_is_left_running(phase, programs):
    others = psutil.Process().children(recursive=True)  # servers of other tests
    try:
        run(BY_NAME[C_SEND], scenario("join:1", phase), programs)
    except FailedError:
        assert phase == "dance"

    left = psutil.Process().children(recursive=True)
    assert not set(left) - set(others)
