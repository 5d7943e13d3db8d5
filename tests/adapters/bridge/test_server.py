"""``serve``: listening, crowds, TLS, and the end in its order."""

import asyncio
import contextlib
import errno
import signal
import socket

import pytest
from websockets.exceptions import InvalidStatus

from pondsocket_asgi.ws_bridge import RequestReceived, ServerConfig, serve
from pondsocket_asgi.ws_bridge.lifespan import LifespanError
from pondsocket_asgi.ws_bridge.server import _signals
from tests.adapters.bridge.certificates import make_contexts
from tests.adapters.bridge.process import run_program
from tests.adapters.bridge.serving import (
    CLOSE,
    Server,
    echo,
    frame,
    handshake,
    left_over,
    until,
)

# Listening


async def test_a_free_port_is_found_and_told(start):
    server = await start(keywords={"port": 0})

    async with server.connect() as client:
        await client.send("hello")
        assert await client.recv() == "hello"


async def test_it_is_told_once(start):
    ports = []
    server = Server(echo)
    serving = asyncio.create_task(
        serve(echo, port=0, stop=server.stop, on_ready=ports.append)
    )
    await until(lambda: ports)
    server.stop.set()
    await serving

    assert len(ports) == 1


async def test_without_a_callback_it_serves_too():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        serving = asyncio.create_task(
            serve(echo, sockets=[listener], stop=asyncio.Event())
        )
        server = Server(echo)
        server.port = port

        async with server.connect() as client:
            await client.send("hello")
            assert await client.recv() == "hello"
        serving.cancel()
        await asyncio.wait({serving})


async def test_no_host_means_all_addresses(start):
    server = await start(keywords={"host": "", "port": 0})

    async with server.connect() as client:
        await client.send("hello")
        assert await client.recv() == "hello"


async def test_an_address_in_use_is_an_os_error_that_names_it(start):
    first = await start(keywords={"port": 0})
    second = await start(keywords={"port": first.port})

    with pytest.raises(OSError, match=f"127.0.0.1:{first.port}") as caught:
        await second.task

    assert caught.value.errno == errno.EADDRINUSE


async def test_a_host_that_does_not_exist_is_an_os_error():
    with pytest.raises(OSError):  # noqa: PT011 - each system has its own words
        await serve(echo, "nowhere.invalid", 0, stop=asyncio.Event())


async def test_a_callback_that_fails_ends_the_serving(start):
    def fail(port):
        raise RuntimeError("not ready at all")

    server = await start(keywords={"port": 0, "on_ready": fail})

    with pytest.raises(RuntimeError, match="not ready at all"):
        await server.task


async def test_sockets_that_cannot_be_listened_on_end_what_has_begun():
    phases = []

    async def app(scope, receive, send):
        for _ in range(2):
            phase = (await receive())["type"]
            phases.append(phase)
            await send({"type": f"{phase}.complete"})

    taken = socket.create_server(("127.0.0.1", 0))
    free, closed = socket.socket(), socket.socket()
    free.bind(("127.0.0.1", 0))
    closed.close()
    with taken, free, contextlib.ExitStack() as stack:
        with pytest.raises(OSError):  # noqa: PT011 - each system has its own words
            await serve(app, sockets=[free, closed], stop=asyncio.Event())
        for task in asyncio.all_tasks():
            if task.get_name() == "pond-lifespan":
                stack.callback(task.cancel)

        assert phases == ["lifespan.startup", "lifespan.shutdown"]


# Requests that are no handshake


async def test_a_plain_request_is_told_to_upgrade(start):
    server = await start()

    answer = await server.ask(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")

    assert answer.startswith("HTTP/1.1 426 Upgrade Required\r\n")
    assert "upgrade: websocket\r\n" in answer


async def test_a_plain_request_may_be_answered_by_somebody_else(start):
    def answer(request):
        assert isinstance(request, RequestReceived)
        return b"HTTP/1.1 204 No Content\r\n\r\n" if request.target == b"/up" else None

    server = await start(keywords={"port": 0, "answer_http": answer})

    answers = [
        await server.ask(b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n" % target)
        for target in (b"/up", b"/down")
    ]

    assert [each.split()[1] for each in answers] == ["204", "426"]


async def test_who_is_lost_before_its_handshake_harms_nobody(start):
    server = await start()
    client = await server.dial(b"GET /")
    await until(lambda: left_over() == ["pond-ws"])

    client.reset()

    await until(lambda: not left_over())
    async with server.connect() as other:
        await other.send("hello")
        assert await other.recv() == "hello"


# Crowds


async def test_who_is_one_too_many_gets_a_503(start):
    server = await start(max_connections=2)
    await server.open()
    await server.open()

    with pytest.raises(InvalidStatus) as caught:
        await server.connect()

    assert caught.value.response.status_code == 503


async def test_the_place_of_who_has_left_is_free(start):
    server = await start(max_connections=1)
    async with server.connect():
        pass
    await until(lambda: not left_over())

    async with server.connect() as client:
        await client.send("hello")
        assert await client.recv() == "hello"


async def test_of_a_crowd_as_many_are_served_as_there_is_room_for(start):
    server = await start(max_connections=2)
    address = ("127.0.0.1", server.port)
    # nothing is accepted meanwhile: this does not wait for the loop
    crowd = [socket.create_connection(address, timeout=5) for _ in range(4)]
    for client in crowd:
        client.sendall(handshake())
        client.setblocking(False)

    loop = asyncio.get_running_loop()
    answers = [await loop.sock_recv(client, 12) for client in crowd]
    for client in crowd:
        client.close()

    assert sorted(answers) == [b"HTTP/1.1 101"] * 2 + [b"HTTP/1.1 503"] * 2


async def test_clients_that_come_back_all_at_once_find_the_door_open(start):
    server = await start(keywords={"port": 0})
    address = ("127.0.0.1", server.port)

    # nothing is accepted meanwhile: this does not wait for the loop
    clients = [socket.create_connection(address, timeout=5) for _ in range(300)]
    await until(lambda: len(left_over()) == len(clients))

    for client in clients:
        client.close()


# TLS


@pytest.fixture(scope="module")
def contexts():
    """Return the TLS contexts of a server and of a client that trusts it."""
    return make_contexts()


async def test_a_client_may_speak_tls(start, contexts):
    here, there = contexts
    server = await start(ssl=here)

    async with server.connect(scheme="wss", ssl=there) as client:
        await client.send("x" * 200_000)
        assert await client.recv() == "x" * 200_000


async def test_the_scheme_of_tls_is_wss(start, puppet, contexts):
    here, there = contexts
    server = await start(puppet, ssl=here)
    connecting = asyncio.ensure_future(
        server.connect(scheme="wss", ssl=there).__aenter__()
    )

    session = await puppet.accept()

    assert session.scope["scheme"] == "wss"
    client = await connecting
    await client.close()


async def test_a_close_over_tls_has_its_code(start, puppet, contexts):
    here, there = contexts
    server = await start(puppet, ssl=here)
    client = await server.open_with(puppet, ssl=there, server_hostname="127.0.0.1")

    await puppet.last.close(4002, "enough")

    assert await client.read_close() == (4002, "enough")


async def test_a_refusal_over_tls_arrives(start, contexts):
    here, there = contexts
    server = await start(ssl=here)
    client = await server.dial(
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", ssl=there, server_hostname="127.0.0.1"
    )

    assert (await client.read_rest()).startswith(b"HTTP/1.1 426 ")


async def test_who_does_not_speak_tls_is_let_go_and_harms_nobody(start, contexts):
    here, there = contexts
    server = await start(ssl=here)
    client = await server.dial(handshake())

    # an alert, which is the TLS for "what?"
    assert not (await client.read_rest()).startswith(b"HTTP")

    async with server.connect(scheme="wss", ssl=there) as other:
        await other.send("hello")
        assert await other.recv() == "hello"


async def test_who_never_begins_to_speak_tls_is_let_go(start, contexts):
    server = await start(ssl=contexts[0], handshake_timeout=0.1)
    client = await server.dial()

    assert await client.read_rest() == b""


# The end


async def test_a_stopped_server_tells_its_clients(start):
    server = await start()
    client = await server.open()

    await asyncio.gather(server.end(), answer_close(client, 1012))

    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", server.port)


async def test_a_cancelled_server_tells_its_clients_too(start):
    server = await start()
    client = await server.open()

    server.task.cancel()
    await answer_close(client, 1012)

    with pytest.raises(asyncio.CancelledError):
        await server.task


async def test_who_has_said_nothing_yet_does_not_delay_the_end(start):
    server = await start(handshake_timeout=30.0)
    silent = await server.dial()
    begun = await server.dial(b"GET /so")
    async with server.connect():
        pass  # the server has seen all by now

    async with asyncio.timeout(5):
        await server.end()

    assert [await each.read_rest() for each in (silent, begun)] == [b"", b""]


async def test_a_stubborn_application_is_cancelled(start, puppet, caplog):
    server = await start(puppet, shutdown_timeout=0.1)
    await server.open_with(puppet)

    await server.end()

    assert puppet.last.was_cancelled
    assert "cancelled 1 applications after 0.1 s" in caplog.text


async def test_a_client_that_is_late_is_no_application_that_is(start, puppet, caplog):
    server = await start(puppet, shutdown_timeout=0.1, close_timeout=5.0)
    await server.open_with(puppet)
    puppet.last.leave()

    await server.end()

    assert "cancelled" not in caplog.text


async def test_an_application_that_outlives_its_client_is_cancelled_too(start, puppet):
    server = await start(puppet, shutdown_timeout=0.1)
    client = await server.open_with(puppet)
    client.reset()
    await puppet.last.receive()

    await server.end()

    assert puppet.last.was_cancelled


async def test_a_stubborn_client_is_cut_off(start, puppet):
    server = await start(puppet, close_timeout=0.1)
    client = await server.open_with(puppet)
    puppet.last.leave()

    await server.end()

    assert (await client.read_rest()).endswith(b"\x88\x02\x03\xe8")


async def test_who_comes_while_the_server_ends_leaves_nothing_behind(
    start, puppet, monkeypatch
):
    server = await start(puppet)
    await server.open_with(puppet)
    pausing = await server.dial(b"GET / HTTP/1.1\r\n")
    await until(lambda: left_over().count("pond-ws") == 2)

    server.stop.set()
    pausing.say(b"host: x\r\n\r\n")

    assert await pausing.read_rest() == b""


async def test_the_state_of_the_lifespan_is_copied_for_each_client(start):
    states = []

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            scope["state"]["database"] = "open"
            for _ in range(2):
                phase = (await receive())["type"]
                await send({"type": f"{phase}.complete"})
        else:
            states.append(dict(scope["state"]))
            scope["state"]["mine"] = True
            await echo(scope, receive, send)

    server = await start(app, lifespan="on")
    for _ in range(2):
        await server.open()

    assert states == [{"database": "open"}] * 2


async def test_the_lifespan_ends_after_the_connections(start):
    order = []

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            for _ in range(2):
                phase = (await receive())["type"]
                order.append(phase)
                await send({"type": f"{phase}.complete"})
        else:
            await echo(scope, receive, send)
            order.append("echo ended")

    server = await start(app, lifespan="on")
    client = await server.open()
    server.stop.set()

    await answer_close(client, 1012)
    await server.task

    assert order == ["lifespan.startup", "echo ended", "lifespan.shutdown"]


async def test_a_start_that_fails_is_an_error_and_nobody_is_let_in(start):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    server = await start(app, lifespan="auto")

    with pytest.raises(LifespanError, match="no database"):
        await server.task
    assert server.port == 0


async def test_an_end_that_hangs_is_given_up(start):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await asyncio.Event().wait()

    server = await start(app, lifespan="on", shutdown_timeout=0.1)
    server.stop.set()

    with pytest.raises(LifespanError, match=r"0\.1 s"):
        await server.task


# Signals, which need a process of its own


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_in_order(number):
    async with run_program("echo") as program:
        client = await program.open()

        program.process.send_signal(number)
        await answer_close(client, 1012)

        assert await program.wait() == 0


async def test_the_handlers_of_signals_are_put_back(start):
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(each) for each in numbers]
    server = await start(keywords={"port": 0, "stop": None})
    during = [signal.getsignal(each) for each in numbers]
    server.task.cancel()
    await asyncio.wait({server.task})

    assert [signal.getsignal(each) for each in numbers] == before
    assert not set(during) & set(before)


async def test_a_signal_in_this_process_ends_it_too(start):
    server = await start(keywords={"port": 0, "stop": None})

    signal.raise_signal(signal.SIGTERM)

    async with asyncio.timeout(5):
        await server.task


async def test_beside_the_main_thread_signals_are_left_alone():
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(each) for each in numbers]
    during = []

    async def serve_a_moment():
        ready = asyncio.Event()
        serving = asyncio.create_task(
            serve(
                echo,
                port=0,
                config=ServerConfig(lifespan="off"),
                on_ready=lambda _: ready.set(),
            )
        )
        await ready.wait()
        during.extend(signal.getsignal(each) for each in numbers)
        serving.cancel()
        await asyncio.wait({serving})

    await asyncio.to_thread(asyncio.run, serve_a_moment())

    assert during == before


async def test_beside_the_main_thread_the_end_is_no_different():
    async def serve_nobody():
        with _signals() as stopped:
            return stopped.is_set()

    assert await asyncio.to_thread(asyncio.run, serve_nobody()) is False


async def answer_close(client, code):
    """Read a close with this code, and answer it."""
    assert (await client.read_close())[0] == code
    client.say(frame(CLOSE, code.to_bytes(2, "big")))
    assert await client.read_rest() == b""


async def test_an_answer_that_fails_is_an_error_of_the_server(start, caplog):
    def fail(_):
        raise RuntimeError("no answer")

    server = await start(keywords={"port": 0, "answer_http": fail})
    client = await server.dial(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")

    assert (await client.read_rest()).startswith(b"HTTP/1.1 500 ")
    assert "no answer" in caplog.text


async def test_clients_that_come_with_the_end_are_let_go(start):
    server = await start(keywords={"port": 0})
    address = ("127.0.0.1", server.port)
    # nothing is accepted meanwhile: this does not wait for the loop
    clients = [socket.create_connection(address, timeout=5) for _ in range(50)]
    await asyncio.wait({server.task}, timeout=0)  # the server accepts them now

    await server.end()

    loop = asyncio.get_running_loop()
    for client in clients:
        client.setblocking(False)
        with contextlib.suppress(ConnectionResetError):
            async with asyncio.timeout(2):
                assert await loop.sock_recv(client, 1) == b""
        client.close()


async def test_not_all_who_are_refused_get_to_hear_why(start):
    server = await start(max_connections=1, close_timeout=5.0)
    await server.open()
    strangers = [await server.dial() for _ in range(40)]

    answers = [await client.read_rest() for client in strangers]

    assert all(answer.startswith(b"HTTP/1.1 503 ") for answer in answers[:32])
    assert answers[32:] == [b""] * 8


async def test_small_frames_do_not_wait_for_acknowledgements():
    stop, found = asyncio.Event(), []

    def look(_):
        found.append(bound.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        stop.set()

    with socket.create_server(("127.0.0.1", 0)) as bound:
        await serve(echo, sockets=[bound], stop=stop, on_ready=look)

    assert found == [1]


async def test_sockets_of_another_kind_are_refused(tmp_path):
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))

        with pytest.raises(ValueError, match="expected TCP, got AF_UNIX"):
            await serve(echo, sockets=[bound], stop=asyncio.Event())
