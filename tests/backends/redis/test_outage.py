"""Which connections are away, and who is told."""

import logging

from pondsocket_redis.outage import Outage

LOST = ConnectionError("gone")


def test_one_outage_of_two_connections_ends_when_both_are_back(caplog):
    caplog.set_level(logging.INFO)
    outage, calls = Outage(), []
    outage.on_end(lambda: calls.append(outage.is_connected))
    outage.back("a")
    outage.lost("a", LOST)
    outage.lost("b", LOST)

    outage.back("a")
    outage.lost("b", LOST)
    outage.back("b")

    assert calls == [True]
    assert outage.reconnects == 1
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_a_first_connection_is_no_return():
    outage, calls = Outage(), []
    outage.on_end(lambda: calls.append("back"))

    outage.back("a")

    assert outage.is_connected
    assert calls == []


def test_a_callback_that_raises_harms_no_other(caplog):
    outage, calls = Outage(), []
    outage.on_end(lambda: 1 / 0)
    outage.on_end(lambda: calls.append("back"))
    outage.lost("a", LOST)

    outage.back("a")

    assert calls == ["back"]
    assert "ZeroDivisionError" in caplog.text


def test_a_connection_that_is_closed_while_away_is_no_return(caplog):
    caplog.set_level(logging.INFO)
    outage, calls = Outage(), []
    outage.on_end(lambda: calls.append("back"))
    outage.lost("a", LOST)

    outage.close()
    outage.forget("a")

    assert calls == []
    assert outage.reconnects == 0
    assert len(caplog.records) == 1


def test_an_outage_ends_with_the_last_connection_that_is_needed():
    outage, calls = Outage(), []
    outage.on_end(lambda: calls.append("back"))
    outage.back("a")
    outage.lost("b", LOST)

    outage.forget("b")

    assert calls == ["back"]
    assert outage.is_connected
