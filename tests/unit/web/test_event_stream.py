"""EventStream over a host whose client reads, stalls, or leaves."""

import asyncio
import json

import pytest

from pondsocket import Options
from pondsocket.metrics import Telemetry
from pondsocket.web import EventStream


class Response:
    """A response of a host that a test holds in its hands."""

    def __init__(self):
        self.begun = False
        self.bodies = []
        self.ended = False
        self.reads = asyncio.Event()
        self.reads.set()
        self.sending = asyncio.Event()
        self.left = asyncio.Event()
        self.fault = None
        self.cannot_listen = None
        self.fails_when_cancelled = False
        self.changed = asyncio.Event()

    async def begin(self):
        self.begun = True
        self.changed.set()

    async def write(self, data):
        self.sending.set()
        if self.fault:
            raise self.fault
        await self.reads.wait()
        self.bodies.append(data)
        self.changed.set()

    async def end(self):
        await self.reads.wait()
        self.ended = True

    async def wait_until_left(self):
        if self.cannot_listen:
            raise self.cannot_listen
        try:
            await self.left.wait()
        except asyncio.CancelledError:
            if self.fails_when_cancelled:
                raise RuntimeError("broken") from None
            raise


class Open:
    """A stream that runs, and the host below it."""

    def __init__(self, **options):
        self.response = Response()
        settings = Options(**options)
        self.stream = EventStream(id="ada", options=settings, assigns={"a": 1})
        self.telemetry = Telemetry(None)
        self.stream.bind(settings.limits, self.telemetry, lambda event: None)
        self.closed = asyncio.Event()
        self.stream.on_close(lambda _: self.closed.set())
        self.task = None

    def start(self):
        self.task = asyncio.create_task(self.stream.run(self.response))

    async def finish(self):
        async with asyncio.timeout(5):
            await self.task

    def count(self, name):
        return self.telemetry.counts()[name]

    async def until_begun(self):
        await self.until(lambda: self.response.begun)

    async def until_written(self, number):
        await self.until(lambda: len(self.response.bodies) >= number)

    async def until(self, condition):
        async with asyncio.timeout(5):
            while not condition():
                self.response.changed.clear()
                await self.response.changed.wait()


@pytest.fixture
async def make_open():
    opened = []

    def make(*, start=True, **options):
        opened.append(Open(**options))
        if start:
            opened[-1].start()
        return opened[-1]

    yield make
    for each in opened:
        if each.task is not None:
            each.response.reads.set()
            each.response.left.set()
            await asyncio.wait({each.task}, timeout=5)


def data_of(body):
    return [
        json.loads(line[6:])["payload"]["n"]
        for line in body.decode().splitlines()
        if line.startswith("data: ")
    ]


async def test_the_answer_begins_before_the_first_event(make_open):
    opened = make_open()

    await opened.until_begun()

    assert opened.response.bodies == []


async def test_what_is_there_goes_out_in_one_send(make_open, frame):
    opened = make_open()
    await opened.until_begun()

    opened.stream.try_send([frame(1), frame(2)])
    opened.stream.try_send([frame(3)])
    await opened.until_written(1)

    assert [data_of(body) for body in opened.response.bodies] == [[1, 2, 3]]
    assert not opened.response.ended


async def test_a_silent_stream_is_kept_alive_by_comments(make_open, frame):
    opened = make_open(ping_interval=0.01)
    await opened.until_written(2)

    opened.stream.try_send([frame()])
    await opened.until_written(len(opened.response.bodies) + 1)

    assert opened.response.bodies[:2] == [b": keep-alive\n\n"] * 2
    assert any(data_of(body) == [1] for body in opened.response.bodies)


async def test_closing_sends_what_is_left_and_ends_the_answer(make_open, frame):
    opened = make_open()
    await opened.until_begun()
    opened.stream.try_send([frame()])

    await opened.stream.close()
    await opened.finish()

    assert [data_of(body) for body in opened.response.bodies] == [[1]]
    assert opened.response.ended
    assert opened.closed.is_set()


async def test_a_close_before_the_answer_began_still_ends_it_well(make_open, frame):
    opened = make_open(start=False)
    opened.stream.try_send([frame()])
    await opened.stream.close()

    opened.start()
    await opened.finish()

    assert [data_of(body) for body in opened.response.bodies] == [[1]]
    assert opened.response.ended


async def test_a_client_that_leaves_ends_the_stream(make_open):
    opened = make_open()
    await opened.until_begun()

    opened.response.left.set()
    await opened.finish()

    assert opened.closed.is_set()
    assert opened.response.bodies == []
    assert opened.count("send_failed") == 0


async def test_a_client_that_leaves_amid_a_stalled_send_ends_the_stream(
    make_open, frame
):
    opened = make_open()
    await opened.until_begun()
    opened.response.reads.clear()
    opened.response.sending.clear()
    opened.stream.try_send([frame()])
    await opened.response.sending.wait()

    opened.response.left.set()
    await opened.finish()

    assert opened.closed.is_set()


async def test_a_host_that_cannot_listen_any_more_has_lost_its_client(make_open):
    opened = make_open()
    opened.response.cannot_listen = RuntimeError("broken")

    await opened.finish()

    assert opened.closed.is_set()


async def test_a_host_that_raises_has_lost_its_client(make_open, frame):
    opened = make_open()
    await opened.until_begun()
    opened.response.fault = OSError("gone")

    opened.stream.try_send([frame()])
    await opened.finish()

    assert opened.closed.is_set()
    assert opened.count("send_failed") == 1


async def test_a_send_that_waits_too_long_ends_a_slow_consumer(make_open, frame):
    opened = make_open(send_timeout=0.02)
    await opened.until_begun()
    opened.response.reads.clear()

    opened.stream.try_send([frame()])
    await opened.finish()

    assert opened.closed.is_set()
    assert opened.count("slow_consumer_closed") == 1


async def test_a_policy_that_drops_keeps_the_stream(make_open, frame):
    opened = make_open(send_timeout=0.02, slow_consumer="drop_newest")
    await opened.until_begun()
    opened.response.reads.clear()
    opened.stream.try_send([frame()])

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.06):
            await opened.closed.wait()

    assert opened.stream.is_active()


async def test_a_client_that_never_reads_is_given_up(make_open, frame):
    opened = make_open(send_timeout=0.03, slow_consumer="drop_newest")
    await opened.until_begun()
    opened.response.reads.clear()
    opened.stream.try_send([frame()])

    async with asyncio.timeout(5):
        await opened.stream.close()
    await opened.finish()

    assert opened.response.bodies == []


async def test_above_its_mark_frames_stay_with_the_session(make_open, frame):
    opened = make_open()
    await opened.until_begun()
    opened.response.reads.clear()

    taken = 0
    while opened.stream.try_send([frame()]):
        taken += 1
        await asyncio.sleep(0)

    assert 64 <= taken <= 130  # one batch in flight, one queued


async def test_the_assigns_are_those_of_the_handshake(make_open):
    assert make_open(start=False).stream.get_assign("a") == 1


async def test_a_host_may_fail_when_it_need_not_listen_any_more(make_open):
    opened = make_open()
    opened.response.fails_when_cancelled = True
    await opened.until_begun()

    await opened.stream.close()
    await opened.finish()

    assert opened.response.ended
    assert opened.count("send_failed") == 0
