"""EventStream over a host whose client reads, stalls, or leaves."""

import asyncio
import json

import pytest

from pondsocket import Options
from pondsocket.metrics import Telemetry
from pondsocket_asgi.stream import EventStream

HEADERS = [(b"x-connection-id", b"secret")]


class Open:
    """A stream that runs, and the host below it."""

    def __init__(self, host, **options):
        self.host = host
        settings = Options(**options)
        self.stream = EventStream(id="ada", options=settings, assigns={"a": 1})
        self.telemetry = Telemetry(None)
        self.stream.bind(settings.limits, self.telemetry, lambda event: None)
        self.closed = asyncio.Event()
        self.stream.on_close(lambda _: self.closed.set())
        self.task = None

    def start(self):
        run = self.stream.run(self.host.receive, self.host.send, HEADERS)
        self.task = asyncio.create_task(run)

    async def finish(self):
        async with asyncio.timeout(5):
            await self.task

    def count(self, name):
        return self.telemetry.counts()[name]

    async def until_sent(self, number):
        async with asyncio.timeout(5):
            while len(self.host.sent) < number:
                await asyncio.sleep(0)

    @property
    def bodies(self):
        return [message["body"] for message in self.host.sent[1:]]


@pytest.fixture
async def make_open(host):
    opened = []

    def make(*, start=True, **options):
        opened.append(Open(host, **options))
        if start:
            opened[-1].start()
        return opened[-1]

    yield make
    for each in opened:
        if each.task is not None:
            each.host.reads.set()
            each.host.tell("http.disconnect")
            await asyncio.wait({each.task}, timeout=5)


def data_of(body):
    return [
        json.loads(line[6:])["payload"]["n"]
        for line in body.decode().splitlines()
        if line.startswith("data: ")
    ]


async def test_the_answer_begins_before_the_first_event(make_open):
    opened = make_open()

    await opened.until_sent(1)

    assert opened.host.sent == [
        {"type": "http.response.start", "status": 200, "headers": HEADERS}
    ]


async def test_what_is_there_goes_out_in_one_send(make_open, frame):
    opened = make_open()
    await opened.until_sent(1)

    opened.stream.try_send([frame(1), frame(2)])
    opened.stream.try_send([frame(3)])
    await opened.until_sent(2)

    assert [data_of(body) for body in opened.bodies] == [[1, 2, 3]]
    assert opened.host.sent[1]["more_body"] is True


async def test_a_silent_stream_is_kept_alive_by_comments(make_open, frame):
    opened = make_open(ping_interval=0.01)
    await opened.until_sent(3)

    opened.stream.try_send([frame()])
    await opened.until_sent(len(opened.host.sent) + 1)

    assert opened.bodies[:2] == [b": keep-alive\n\n"] * 2
    assert any(data_of(body) == [1] for body in opened.bodies)


async def test_closing_sends_what_is_left_and_ends_the_answer(make_open, frame):
    opened = make_open()
    await opened.until_sent(1)
    opened.stream.try_send([frame()])

    await opened.stream.close()
    await opened.finish()

    assert [data_of(body) for body in opened.bodies] == [[1], []]
    assert [message["more_body"] for message in opened.host.sent[1:]] == [True, False]
    assert opened.closed.is_set()


async def test_a_close_before_the_answer_began_still_ends_it_well(make_open, frame):
    opened = make_open(start=False)
    opened.stream.try_send([frame()])
    await opened.stream.close()

    opened.start()
    await opened.finish()

    assert [data_of(body) for body in opened.bodies] == [[1], []]


async def test_a_client_that_leaves_ends_the_stream(make_open):
    opened = make_open()
    await opened.until_sent(1)

    opened.host.tell("http.request", body=b"", more_body=False)
    opened.host.tell("http.disconnect")
    await opened.finish()

    assert opened.closed.is_set()
    assert opened.bodies == []
    assert opened.count("send_failed") == 0


async def test_a_client_that_leaves_amid_a_stalled_send_ends_the_stream(
    make_open, frame
):
    opened = make_open()
    await opened.until_sent(1)
    opened.host.reads.clear()
    opened.host.sending.clear()
    opened.stream.try_send([frame()])
    await opened.host.sending.wait()

    opened.host.tell("http.disconnect")
    await opened.finish()

    assert opened.closed.is_set()


async def test_a_host_that_cannot_listen_any_more_has_lost_its_client(make_open):
    opened = make_open()
    opened.host.inbox.put_nowait(RuntimeError("broken"))

    await opened.finish()

    assert opened.closed.is_set()


async def test_a_host_that_raises_has_lost_its_client(make_open, frame):
    opened = make_open()
    await opened.until_sent(1)
    opened.host.fault = OSError("gone")

    opened.stream.try_send([frame()])
    await opened.finish()

    assert opened.closed.is_set()
    assert opened.count("send_failed") == 1


async def test_a_send_that_waits_too_long_ends_a_slow_consumer(make_open, frame):
    opened = make_open(send_timeout=0.02)
    await opened.until_sent(1)
    opened.host.reads.clear()

    opened.stream.try_send([frame()])
    await opened.finish()

    assert opened.closed.is_set()
    assert opened.count("slow_consumer_closed") == 1


async def test_a_policy_that_drops_keeps_the_stream(make_open, frame):
    opened = make_open(send_timeout=0.02, slow_consumer="drop_newest")
    await opened.until_sent(1)
    opened.host.reads.clear()
    opened.stream.try_send([frame()])

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.06):
            await opened.closed.wait()

    assert opened.stream.is_active()


async def test_a_client_that_never_reads_is_given_up(make_open, frame):
    opened = make_open(send_timeout=0.03, slow_consumer="drop_newest")
    await opened.until_sent(1)
    opened.host.reads.clear()
    opened.stream.try_send([frame()])

    async with asyncio.timeout(5):
        await opened.stream.close()
    await opened.finish()

    assert opened.bodies == []


async def test_above_its_mark_frames_stay_with_the_session(make_open, frame):
    opened = make_open()
    await opened.until_sent(1)
    opened.host.reads.clear()

    taken = 0
    while opened.stream.try_send([frame()]):
        taken += 1
        await asyncio.sleep(0)

    assert 64 <= taken <= 130  # one batch in flight, one queued


async def test_the_assigns_are_those_of_the_handshake(make_open):
    assert make_open(start=False).stream.get_assign("a") == 1
