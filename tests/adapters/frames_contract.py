"""What each way past a host keeps to, over real sockets, whatever the host.

A module of tests has a class that derives from :class:`FramesContract`, and from
:class:`CompressionContract`, and says how to serve.
"""

import asyncio
import contextlib
import os
import zlib

import pytest
import uvloop
from websockets.asyncio.client import connect

from pondsocket import burst as burst_module
from pondsocket import frame as frame_module
from pondsocket.framing import TEXT, build_frame
from tests.adapters.bridge.certificates import make_contexts
from tests.adapters.bridge.serving import until
from tests.adapters.ready_frames import Client, Notes, Room

NAG = build_frame(TEXT, b'{"nag":true}')
LONG = "far apart".join(["x" * 200, *map(str, range(3000)), "x" * 200])


class Served:
    """Rooms and clients of a test; all of them end with it."""

    def __init__(self, serve):
        self._serve = serve
        self._entered = contextlib.AsyncExitStack()
        self.port = 0

    async def open(self, *, tls=None, send_buffer=None, **options):
        """Serve a room."""
        room = Room(**options)
        serving = self._serve(room.pond, tls=tls, send_buffer=send_buffer)
        self.port = await self._entered.enter_async_context(serving)
        self._entered.push_async_callback(room.pond.close)
        return room

    async def join(self, *offers, **settings):
        """Connect a client that is a member of the room."""
        opening = Client.open(self.port, *offers, **settings)
        return await self._entered.enter_async_context(opening)

    async def close(self):
        await self._entered.aclose()


@contextlib.asynccontextmanager
async def opened(serve):
    served = Served(serve)
    try:
        yield served
    finally:
        await served.close()


async def nag(write, until_it_ends):
    """Write past the host in each turn, as a busy room does."""
    while not until_it_ends.is_set():
        write(NAG)
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def nagging(write):
    over = asyncio.Event()
    task = asyncio.create_task(nag(write, over))
    try:
        yield
    finally:
        over.set()
        await task


class ServingContract:
    """What both of the following stand on."""

    @contextlib.asynccontextmanager
    async def serve(self, pond, *, tls=None, send_buffer=None):
        """Serve in the running loop; yields a port of the loopback.

        Args:
            pond: Its options decide about compression.
            tls: A server's context.
            send_buffer: Bytes that the kernel keeps for a client that does not read.
        """
        raise NotImplementedError
        yield

    @pytest.fixture
    async def served(self):
        async with opened(self.serve) as served:
            yield served


class FramesContract(ServingContract):
    """Ready frames, and the states in which the host's own send takes over."""

    @pytest.mark.parametrize("size", [0, 126, 20_000])
    async def test_a_broadcast_is_written_past_the_host_as_one_frame(
        self, served, size
    ):
        room = await served.open()
        client = await served.join()
        notes = Notes(room.transport)

        await room.broadcast({"x": "x" * size})

        first, payload = await client.read_frame()
        assert [build_frame(first, payload)] == notes.written
        assert first == TEXT
        assert notes.sent == []

    async def test_what_came_in_one_turn_is_one_write(self, served):
        room = await served.open()
        client = await served.join()
        notes = Notes(room.transport)

        await room.broadcast({"n": 1}, {"n": 2}, {"n": 3})

        assert await client.read_payloads(3) == [{"n": 1}, {"n": 2}, {"n": 3}]
        assert len(notes.written) == 1

    async def test_members_are_written_the_same_bytes(self, served):
        room = await served.open()
        for _ in range(3):
            await served.join()
        notes = [Notes(each) for each in room.transports]

        await room.broadcast({"n": 1})
        await asyncio.sleep(0)

        assert len({id(each.written[0]) for each in notes}) == 1

    async def test_with_direct_writes_off_the_host_sends(self, served):
        room = await served.open(direct_writes=False)
        client = await served.join()
        notes = Notes(room.transport)

        await room.broadcast({"n": 1}, {"n": 2})

        assert await client.read_payloads(2) == [{"n": 1}, {"n": 2}]
        assert (len(notes.sent), notes.written) == (2, [])

    async def test_messages_joined_in_a_frame_are_written_past_the_host(self, served):
        room = await served.open()
        client = await served.join(query="?pond.frames=batch")
        notes = Notes(room.transport)

        await room.broadcast({"n": 1}, {"n": 2})

        lines = (await client.read_text()).split("\n")
        assert [line.count('"news"') for line in lines] == [1, 1]
        assert (len(notes.written), notes.sent) == (1, [])

    async def test_more_than_the_mark_at_once_goes_by_the_hosts_send(self, served):
        room = await served.open()
        client = await served.join()
        notes = Notes(room.transport)

        await room.broadcast({"n": 1, "x": "x" * 1_000_000})
        payloads = await client.read_payloads(1)

        assert [each["n"] for each in payloads] == [1]
        assert (len(notes.sent), notes.written) == (1, [])

    async def test_who_reads_late_gets_all_in_order_by_both_ways(self, served):
        room = await served.open(send_buffer=4096, outbound_max_bytes=0)
        client = await served.join()
        notes = Notes(room.transport)

        for number in range(300):
            await room.broadcast({"n": number, "x": "x" * 2000})
            await asyncio.sleep(0)  # a write each
        await until(lambda: notes.sent)
        payloads = await client.read_payloads(300)

        assert [each["n"] for each in payloads] == list(range(300))
        assert notes.written
        assert notes.refused

    async def test_who_has_caught_up_is_written_to_directly_again(self, served):
        room = await served.open(send_buffer=4096, outbound_max_bytes=0)
        client = await served.join()
        notes = Notes(room.transport)
        await room.broadcast(*[{"n": number, "x": "x" * 20_000} for number in range(9)])
        await until(lambda: notes.sent)
        await client.read_payloads(9)
        await until(lambda: not room.transport._is_sending)
        notes.written.clear()

        await room.broadcast({"n": 9})

        assert await client.read_payloads(1) == [{"n": 9}]
        assert len(notes.written) == 1

    async def test_nothing_is_written_after_the_answer_to_a_clients_close(self, served):
        room = await served.open()
        client = await served.join()
        write = room.transport.frame_writer.write

        async with nagging(write):
            client.say_close(4000)
            await client.read_to_the_close()
            rest = await client.read_rest()

        assert rest == b""
        assert not write(NAG)

    async def test_nothing_is_written_after_the_servers_close(self, served):
        room = await served.open()
        client = await served.join()
        transport = room.transport
        write = transport.frame_writer.write

        async with nagging(write):
            closing = asyncio.create_task(transport.close_with(4001, "enough"))
            code = await client.read_to_the_close()
            refused = not write(NAG)
            client.say_close(code)
            rest = await client.read_rest()
            await closing

        assert (code, rest, refused) == (4001, b"", True)

    async def test_who_reads_nothing_of_it_keeps_nobody_from_closing(self, served):
        room = await served.open(send_buffer=4096, send_timeout=0.5)
        await served.join()
        transport = room.transport
        notes = Notes(transport)
        for number in range(18):  # more than the kernel takes, less than the mark
            await room.broadcast({"n": number, "x": "x" * 2000})
            await asyncio.sleep(0)

        async with asyncio.timeout(5):
            await transport.close_with(4001, "enough")
            await until(lambda: room.left)

        assert (len(notes.written), notes.sent) == (18, [])

    async def test_writing_to_who_vanished_a_moment_ago_raises_nothing(self, served):
        room = await served.open()
        client = await served.join()
        write = room.transport.frame_writer.write

        client.reset()
        async with nagging(write):
            await until(lambda: room.left)

        assert not write(NAG)
        assert not room.transports

    async def test_it_works_over_tls(self, served):
        here, there = make_contexts()
        room = await served.open(tls=here)
        client = await served.join(tls=there)
        notes = Notes(room.transport)

        await room.broadcast({"n": 1}, {"n": 2, "x": "x" * 20_000})

        assert [each["n"] for each in await client.read_payloads(2)] == [1, 2]
        assert (len(notes.written), notes.sent) == (1, [])

    async def test_over_tls_writing_to_who_vanished_raises_nothing_either(self, served):
        here, there = make_contexts()
        room = await served.open(tls=here)
        client = await served.join(tls=there)
        write = room.transport.frame_writer.write

        client.reset()
        async with nagging(write):
            await until(lambda: room.left)

        assert not room.transports

    def test_it_works_on_uvloop(self):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._play_on_another_loop())

    async def _play_on_another_loop(self):
        async with opened(self.serve) as served:
            room = await served.open(send_buffer=4096, outbound_max_bytes=0)
            client = await served.join()
            notes, write = Notes(room.transport), room.transport.frame_writer.write
            for number in range(100):
                await room.broadcast({"n": number, "x": "x" * 5000})
                await asyncio.sleep(0)
            await until(lambda: notes.sent)
            payloads = await client.read_payloads(100)
            client.reset()
            async with nagging(write):
                await until(lambda: room.left)

        assert [each["n"] for each in payloads] == list(range(100))
        assert notes.written
        assert not write(NAG)


class CompressionContract(ServingContract):
    """The same where clients and server agree on permessage-deflate (RFC 7692).

    Attributes:
        offer: With which a broadcast may be compressed once for all.
    """

    offer = "permessage-deflate"

    @pytest.fixture
    async def room(self, served):
        return await served.open(compression=True)

    async def test_the_server_agrees_to_forget_each_message(self, served, room):
        client = await served.join(self.offer)

        assert "server_no_context_takeover" in client.extensions

    async def test_who_offers_nothing_gets_plain_frames(self, served, room):
        client = await served.join()
        notes = Notes(room.transport)

        await room.broadcast({"x": "x" * 1000})

        first, _ = await client.read_frame()
        assert (first, client.extensions) == (TEXT, None)
        assert len(notes.written) == 1

    async def test_a_broadcast_is_compressed_once_for_all(
        self, served, room, monkeypatch
    ):
        clients = [await served.join(self.offer) for _ in range(3)]
        made, make = [], zlib.compressobj

        def note_and_make(*args, **settings):
            made.append(args)
            return make(*args, **settings)

        monkeypatch.setattr(zlib, "compressobj", note_and_make)

        await room.broadcast({"x": "x" * 1000})
        texts = [await client.read_text() for client in clients]

        assert len(set(texts)) == 1
        assert len(made) == 1

    async def test_messages_are_inflated_rightly_one_after_the_other(
        self, served, room
    ):
        client = await served.join(self.offer)
        notes = Notes(room.transport)
        sent = [{"n": number, "x": LONG[number:]} for number in range(5)]

        await room.broadcast(*sent)

        assert await client.read_payloads(5) == sent
        assert notes.sent == []

    async def test_the_stock_client_of_a_library_inflates_them(self, served, room):
        await served.join(self.offer)
        url = f"ws://127.0.0.1:{served.port}/socket"
        async with connect(url, compression="deflate") as websocket:
            assert websocket.protocol.extensions
            await websocket.recv()
            await websocket.send(
                '{"action":"JOIN_CHANNEL","event":"j","channelName":"/room/1",'
                '"requestId":"j","payload":{}}'
            )
            await websocket.recv()

            await room.broadcast({"n": 1, "x": LONG}, {"n": 2, "x": LONG})

            texts = [await websocket.recv() for _ in range(2)]
        assert [text.count(LONG) for text in texts] == [1, 1]
        assert [f'"n":{n},' in text for n, text in enumerate(texts, 1)] == [True] * 2

    async def test_what_becomes_no_shorter_is_not_compressed(
        self, served, room, monkeypatch
    ):
        for module in (frame_module, burst_module):
            monkeypatch.setattr(module, "deflate", lambda payload: payload)
        client = await served.join(self.offer)
        notes = Notes(room.transport)

        await room.broadcast({"n": 1})

        first, payload = await client.read_frame()
        assert (first, payload.count(b'"n":1')) == (TEXT, 1)
        assert len(notes.written) == 1

    async def test_who_reads_late_gets_all_in_order_by_both_ways(self, served):
        room = await served.open(
            compression=True, send_buffer=4096, outbound_max_bytes=0
        )
        client = await served.join(self.offer)
        notes = Notes(room.transport)
        sent = [{"n": n, "x": os.urandom(4000).hex()} for n in range(200)]

        for payload in sent:
            await room.broadcast(payload)
            await asyncio.sleep(0)  # a write each
        await until(lambda: notes.sent)

        assert await client.read_payloads(200) == sent
        assert notes.written

    async def test_messages_joined_in_a_frame_are_compressed_together(
        self, served, room
    ):
        client = await served.join(self.offer, query="?pond.frames=batch")
        notes = Notes(room.transport)

        await room.broadcast({"n": 1, "x": LONG}, {"n": 2, "x": LONG})

        lines = (await client.read_text()).split("\n")
        assert [line.count(LONG) for line in lines] == [1, 1]
        assert (len(notes.written), notes.sent) == (1, [])

    async def test_who_has_a_smaller_window_gets_right_messages_by_the_host(
        self, served, room
    ):
        client = await served.join(f"{self.offer}; server_max_window_bits=9")
        notes = Notes(room.transport)
        sent = [{"n": number, "x": LONG} for number in range(3)]

        await room.broadcast(*sent)

        assert client.extensions["server_max_window_bits"] == "9"
        assert await client.read_payloads(3) == sent
        assert (len(notes.sent), notes.written) == (3, [])

    @pytest.mark.parametrize(
        "offers",
        [
            ["permessage-deflate;client_max_window_bits"],
            ["permessage-deflate ; client_max_window_bits"],
            ["permessage-deflate;  server_max_window_bits=10 ; client_max_window_bits"],
            ["permessage-deflate; server_max_window_bits=10, permessage-deflate"],
            ["permessage-deflate; server_max_window_bits=8, permessage-deflate"],
            ["permessage-deflate; nonsense=1, permessage-deflate"],
            ["x-unknown; a=b, permessage-deflate; server_no_context_takeover"],
            ["x-unknown", "permessage-deflate; client_max_window_bits=10"],
            ["permessage-deflate; server_max_window_bits=15"],
            ["permessage-deflate; server_no_context_takeover"],
            ["x-unknown"],
        ],
        ids=" / ".join,
    )
    async def test_whatever_is_offered_the_messages_are_right(
        self, offers, served, room
    ):
        client = await served.join(*offers)
        sent = [{"n": number, "x": LONG} for number in range(3)]

        await room.broadcast(*sent)

        assert await client.read_payloads(3) == sent
