"""Liveness: who is alive, dead, and forgotten."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pondsocket.distributed.liveness import NodeTable


@pytest.fixture
def table():
    table = NodeTable(10.0)
    table.hear("a", 0.0)
    table.hear("b", 5.0)
    return table


def test_a_node_that_was_heard_is_alive(table):
    assert "a" in table
    assert len(table) == 2


def test_a_node_that_is_silent_for_too_long_is_dead(table):
    assert table.bury(10.0) == ["a"]
    assert "a" not in table


def test_a_node_dies_once(table):
    table.bury(10.0)

    assert table.bury(10.0) == []


def test_a_node_that_is_heard_again_lives_on(table):
    table.hear("a", 9.0)

    assert table.bury(10.0) == []


def test_a_dead_node_is_forgotten_after_as_long_again(table):
    table.bury(10.0)

    assert table.forget(19.9) == []
    assert table.forget(20.0) == ["a"]
    assert table.forget(20.0) == []


def test_a_dead_node_may_be_remembered_for_longer():
    table = NodeTable(10.0, 60.0)
    table.hear("a", 0.0)
    table.bury(10.0)

    assert table.forget(69.9) == []
    assert table.forget(70.0) == ["a"]


def test_a_node_that_returned_is_not_forgotten(table):
    table.bury(10.0)
    table.hear("a", 15.0)

    assert table.forget(20.0) == []


def test_nothing_is_kept_of_a_forgotten_node(table):
    table.bury(100.0)
    table.forget(200.0)

    assert (table._heard, table._died) == ({}, {})


def test_what_a_node_says_while_nobody_listens_is_no_silence(table):
    table.excuse(3.0)

    assert table.bury(12.9) == []
    assert table.bury(13.0) == ["a"]


def test_the_next_to_die_is_who_was_heard_first(table):
    assert table.next_death() == 10.0


@given(st.floats(0, 1e6), st.floats(0.001, 1e3))
def test_whoever_is_next_to_die_is_dead_then(heard, timeout):
    table = NodeTable(timeout)
    table.hear("a", heard)

    assert table.bury(table.next_death()) == ["a"]


def test_nobody_to_die_is_never():
    assert NodeTable(10.0).next_death() == inf
