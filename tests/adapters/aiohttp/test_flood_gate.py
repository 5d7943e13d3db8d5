"""What a client sends and no message comes of, before aiohttp sees it."""

import asyncio

import pytest

from pondsocket_aiohttp.flood_gate import FloodGate

SIZE = 1000
LIMIT = 2 * SIZE + 1_048_576


class Wire(asyncio.Transport):
    """A transport that only knows its protocol."""

    def __init__(self, protocol):
        super().__init__()
        self._protocol = protocol

    def get_protocol(self):
        return self._protocol

    def set_protocol(self, protocol):
        self._protocol = protocol


class Recorder(asyncio.Protocol):
    """Notes what it is told."""

    def __init__(self):
        self.told = []
        self.size = 0

    def data_received(self, data):
        self.size += len(data)

    def eof_received(self):
        self.told.append("eof")
        return True

    def connection_lost(self, exc):
        self.told.append(exc)

    def pause_writing(self):
        self.told.append("pause")

    def resume_writing(self):
        self.told.append("resume")


@pytest.fixture
def behind():
    return Recorder()


@pytest.fixture
def floods():
    return []


@pytest.fixture
def gate(behind, floods):
    return FloodGate(
        Wire(behind), message_size=SIZE, on_flood=lambda: floods.append(True)
    )


def test_what_comes_is_handed_on(gate, behind, floods):
    gate.data_received(bytes(LIMIT))

    assert behind.size == LIMIT
    assert not floods


def test_too_much_without_a_message_is_told_once_and_goes_no_further(
    gate, behind, floods
):
    gate.data_received(bytes(LIMIT))
    gate.data_received(b"x")
    gate.data_received(b"x")

    assert behind.size == LIMIT
    assert floods == [True]


def test_each_message_begins_anew(gate, behind, floods):
    for _ in range(3):
        gate.data_received(bytes(LIMIT))
        gate.note_message()

    assert behind.size == 3 * LIMIT
    assert not floods


def test_frames_that_are_limited_elsewhere_are_left_out(gate, floods):
    for _ in range(100):
        gate.data_received(bytes(LIMIT // 10))
        gate.note_bytes(LIMIT // 10)

    assert not floods


def test_more_left_out_than_came_is_no_credit(gate, floods):
    gate.note_bytes(LIMIT)
    gate.data_received(bytes(LIMIT + 1))

    assert floods == [True]


def test_all_else_that_a_wire_tells_is_handed_on(gate, behind):
    lost = ConnectionResetError()

    keeps_open = gate.eof_received()
    gate.pause_writing()
    gate.resume_writing()
    gate.connection_lost(lost)

    assert keeps_open is True
    assert behind.told == ["eof", "pause", "resume", lost]


def test_the_gate_takes_the_place_of_the_protocol(behind):
    wire = Wire(behind)

    gate = FloodGate(wire, message_size=SIZE, on_flood=list)

    assert wire.get_protocol() is gate


def test_with_messages_of_any_size_there_is_nothing_to_count(behind):
    wire = Wire(behind)

    FloodGate(wire, message_size=0, on_flood=list)

    assert wire.get_protocol() is behind
