"""The documents of ws_bridge and of typed endpoints: their names, and what they tell.

Both describe signatures and have no examples, so the programs here are ours.
"""

import asyncio
import inspect
import json
from collections.abc import Callable
from typing import Any, get_type_hints

import pytest
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from pondsocket_asgi import endpoints, ws_bridge
from pondsocket_asgi.endpoints import WebSocketHandlingEndpoint, on_event
from pondsocket_asgi.scope import Receive, Send
from pondsocket_asgi.ws_bridge import (
    RequestReceived,
    ServerConfig,
    WSProtocol,
    build_ws_scope,
    create_ws_receive,
    create_ws_send,
)
from pondsocket_asgi.ws_bridge.protocol import Closed

POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD
KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY
REQUIRED = inspect.Parameter.empty


def parameters_of(function):
    """Return kind and default of each parameter but ``self``."""
    return {
        name: (each.kind, each.default)
        for name, each in inspect.signature(function).parameters.items()
        if name != "self"
    }


# The bridge: signatures


@pytest.mark.parametrize(
    ("name", "hints"),
    [
        (
            "build_ws_scope",
            {
                "request": RequestReceived,
                "config": ServerConfig,
                "client": tuple[str, int],
                "server": tuple[str, int],
                "return": dict[str, Any],
            },
        ),
        (
            "create_ws_receive",
            {"events": asyncio.Queue[dict[str, Any]], "return": Receive},
        ),
        (
            "create_ws_send",
            {
                "writer": asyncio.StreamWriter,
                "ws_protocol": WSProtocol,
                "ws_key": bytes,
                "accept_event": asyncio.Event,
                "close_event": asyncio.Event,
                "return": Send,
            },
        ),
    ],
)
def test_the_bridges_functions_have_their_signatures(name, hints):
    function = getattr(ws_bridge, name)
    names = [each for each in hints if each != "return"]

    assert get_type_hints(function) == hints
    assert parameters_of(function) == {
        each: (KEYWORD_ONLY if each.endswith("_event") else POSITIONAL, REQUIRED)
        for each in names
    }
    assert list(parameters_of(function)) == names


# The bridge: a worker that is made of its pieces


class Worker:
    """Serves one client after the other, with one application."""

    def __init__(self, app):
        self.app = app
        self.accepted = asyncio.Event()
        self.closed = asyncio.Event()

    async def __call__(self, reader, writer):
        async with asyncio.timeout(10):
            request = await read_request(reader)
            config = ServerConfig()
            protocol = WSProtocol.for_request(request, config)
            events = asyncio.Queue(8)
            client, server = map(writer.get_extra_info, ("peername", "sockname"))
            (key,) = request.get_all(b"sec-websocket-key")
            send = create_ws_send(
                writer,
                protocol,
                key,
                accept_event=self.accepted,
                close_event=self.closed,
            )
            await events.put({"type": "websocket.connect"})
            async with asyncio.TaskGroup() as tasks:
                scope = build_ws_scope(request, config, client, server)
                calling = self.app(scope, create_ws_receive(events), send)
                application = tasks.create_task(calling)
                deciding = tasks.create_task(self.accepted.wait())
                await asyncio.wait(
                    {application, deciding}, return_when=asyncio.FIRST_COMPLETED
                )
                deciding.cancel()
                if self.accepted.is_set():
                    await push_events(reader, writer, protocol, events)
            writer.close()
            await writer.wait_closed()


async def read_request(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    line, *fields = head.rstrip().split(b"\r\n")
    _, target, _ = line.split(b" ")
    pairs = [field.split(b": ", 1) for field in fields]
    return RequestReceived(
        target=target, headers=tuple((name.lower(), value) for name, value in pairs)
    )


async def push_events(reader, writer, protocol, events):
    while not protocol.is_closed and (data := await reader.read(65_536)):
        now = asyncio.get_running_loop().time()
        for each in protocol.receive(data, now=now):
            match each:
                case str():
                    await events.put({"type": "websocket.receive", "text": each})
                case bytes():
                    await events.put({"type": "websocket.receive", "bytes": each})
                case Closed():
                    end = {"type": "websocket.disconnect", "code": each.code}
                    await events.put(end)
        writer.write(protocol.take_output())
        await writer.drain()


@pytest.fixture
async def work():
    """Start a worker for an application; returns it and its URL."""
    servers = []

    async def start(app):
        worker = Worker(app)
        server = await asyncio.start_server(worker, "127.0.0.1", 0)
        servers.append(server)
        port = server.sockets[0].getsockname()[1]
        return worker, f"ws://127.0.0.1:{port}"

    yield start
    for server in servers:
        server.close()
        async with asyncio.timeout(5):
            await server.wait_closed()


class Echo:
    """Answers what it gets until a client leaves or says "bye"."""

    def __init__(self):
        self.scope = None
        self.events = []
        self.has_ended = asyncio.Event()

    async def __call__(self, scope, receive, send):
        self.scope = scope
        self.events.append(await receive())
        headers = [(b"x-worker", b"1")]
        await send(
            {"type": "websocket.accept", "subprotocol": "echo", "headers": headers}
        )
        while (event := await receive())["type"] == "websocket.receive":
            self.events.append(event)
            if event.get("text") == "bye":
                await send({"type": "websocket.close", "code": 4001, "reason": "bye"})
            else:
                await send({**event, "type": "websocket.send"})
        self.events.append(event)
        self.has_ended.set()


@pytest.fixture
def echo():
    return Echo()


async def test_an_application_lives_between_queue_and_writer(work, echo):
    worker, url = await work(echo)

    async with connect(f"{url}/a%20b?c=d", subprotocols=["chat", "echo"]) as websocket:
        for data in ("hi", b"\x00\xff"):
            await websocket.send(data)
            assert await websocket.recv() == data
        assert websocket.subprotocol == "echo"
        assert websocket.response.headers["x-worker"] == "1"
        assert worker.accepted.is_set()
        assert not worker.closed.is_set()

    async with asyncio.timeout(5):
        await echo.has_ended.wait()
    assert echo.events == [
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": "hi"},
        {"type": "websocket.receive", "bytes": b"\x00\xff"},
        {"type": "websocket.disconnect", "code": 1000},
    ]


async def test_the_scope_tells_of_the_request(work, echo):
    _, url = await work(echo)

    async with connect(f"{url}/a%20b?c=d", subprotocols=["chat", "echo"]):
        scope = echo.scope

    assert (scope["type"], scope["scheme"]) == ("websocket", "ws")
    assert (scope["path"], scope["raw_path"]) == ("/a b", b"/a%20b")
    assert scope["query_string"] == b"c=d"
    assert scope["subprotocols"] == ["chat", "echo"]
    assert scope["client"][0] == scope["server"][0] == "127.0.0.1"
    assert (b"upgrade", b"websocket") in scope["headers"]


async def test_an_application_may_close(work, echo):
    worker, url = await work(echo)

    async with connect(url, subprotocols=["echo"]) as websocket:
        await websocket.send("bye")
        with pytest.raises(ConnectionClosed) as closed:
            await websocket.recv()

    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "bye")
    assert worker.closed.is_set()
    async with asyncio.timeout(5):
        await echo.has_ended.wait()
    assert echo.events[-1] == {"type": "websocket.disconnect", "code": 4001}


async def test_an_application_may_refuse(work):
    async def refuse(scope, receive, send):
        assert await receive() == {"type": "websocket.connect"}
        await send({"type": "websocket.close"})

    worker, url = await work(refuse)

    with pytest.raises(InvalidStatus) as refused:
        await connect(url)

    assert refused.value.response.status_code == 403
    assert worker.closed.is_set()
    assert not worker.accepted.is_set()


# Typed endpoints: signatures


METHODS = {
    "dispatch": {},
    "on_connect": {},
    "on_disconnect": {"close_code": int},
    "on_receive": {"message": endpoints.WebSocketEventMessage},
    "send_exception": {"exc": Exception},
    "send_json": {"response": Any},
}


def test_an_endpoint_is_made_of_the_callables_of_a_host():
    arguments = dict.fromkeys(("scope", "receive", "send"), (POSITIONAL, REQUIRED))

    assert parameters_of(WebSocketHandlingEndpoint) == arguments
    assert type(WebSocketHandlingEndpoint) is endpoints.HandlingEndpointMeta
    assert issubclass(endpoints.HandlingEndpointMeta, type)
    assert WebSocketHandlingEndpoint.handlers == {}
    assert get_type_hints(WebSocketHandlingEndpoint)["websocket"] is WebSocket


@pytest.mark.parametrize("name", METHODS)
def test_an_endpoints_methods_have_their_signatures(name):
    method = getattr(WebSocketHandlingEndpoint, name)

    assert inspect.iscoroutinefunction(method)
    assert get_type_hints(method) == {**METHODS[name], "return": type(None)}
    assert parameters_of(method) == dict.fromkeys(METHODS[name], (POSITIONAL, REQUIRED))


@pytest.mark.parametrize("function", [on_event, WebSocketHandlingEndpoint.on_event])
def test_an_event_is_declared_with_or_without_arguments(function):
    assert parameters_of(function) == {
        "event": (POSITIONAL, None),
        "response_model": (POSITIONAL, None),
    }


def test_what_belongs_to_a_class_is_a_class_method():
    for name in ("on_event", "attach_handler"):
        method = inspect.getattr_static(WebSocketHandlingEndpoint, name)
        assert isinstance(method, classmethod)
    assert parameters_of(WebSocketHandlingEndpoint.attach_handler) == {
        "handler": (POSITIONAL, REQUIRED),
        "overwrite_existing": (POSITIONAL, False),
    }


def test_a_handler_has_its_signature_and_attributes():
    handler = endpoints.Handler("greet", lambda name: None)

    assert parameters_of(endpoints.Handler) == {
        "event": (POSITIONAL, REQUIRED),
        "method": (POSITIONAL, REQUIRED),
        "response_model": (POSITIONAL, None),
    }
    hints = get_type_hints(endpoints.Handler.__init__)
    assert hints["event"] is str
    assert hints["method"] == Callable[..., Any]
    assert hints["response_model"] == type[BaseModel] | None
    assert issubclass(handler.model, endpoints.WebSocketEventMessage)
    assert list(handler.model.model_fields) == ["type", "name"]


def test_a_handler_handles_a_message():
    handle = endpoints.Handler.handle

    assert inspect.iscoroutinefunction(handle)
    assert parameters_of(handle) == {"message": (POSITIONAL, REQUIRED)}
    assert get_type_hints(handle) == {
        "message": endpoints.WebSocketEventMessage,
        "return": BaseModel | None,
    }


def test_a_message_has_a_type_and_whatever_else_came():
    message = endpoints.WebSocketEventMessage(type="greet", name="Ada")
    fields = endpoints.WebSocketEventMessage.model_fields

    assert {name: each.annotation for name, each in fields.items()} == {"type": str}
    assert fields["type"].is_required()
    assert message.model_config["extra"] == "allow"
    assert message.model_config["use_enum_values"] is True
    assert message.name == "Ada"


# Typed endpoints: an API


class Price(BaseModel):
    cents: int


@pytest.fixture
def shop():
    """Make a class of its own for a test; its ``ends`` are the codes it heard of."""

    class Shop(WebSocketHandlingEndpoint):
        async def on_connect(self):
            self.basket = []
            await self.websocket.accept(subprotocol="shop")

        async def on_disconnect(self, close_code):
            self.ends.append(close_code)

        @on_event
        async def on_order(self, item: str, grams: int = 100):
            self.basket.append((item, grams))

        @on_event("sum", response_model=Price)
        def add_up(self):
            return {"cents": sum(grams * 4 for _, grams in self.basket)}

        @on_event(response_model=Price)
        async def wrong(self):
            return {"text": "no price"}

    Shop.ends = []

    @Shop.on_event
    async def handle_list(self):
        return {"items": [item for item, _ in self.basket]}

    return Shop


class Client:
    """Speaks JSON; every wait of it ends."""

    def __init__(self, websocket):
        self.websocket = websocket

    async def say(self, **message):
        await self.websocket.send(json.dumps(message))

    async def ask(self, **message):
        await self.say(**message)
        async with asyncio.timeout(5):
            return json.loads(await self.websocket.recv())


@pytest.fixture
async def server(serve, shop):
    return await serve(Starlette(routes=[WebSocketRoute("/shop", shop)]))


@pytest.fixture
async def client(server):
    async with connect(f"{server.url}/shop", subprotocols=["shop"]) as websocket:
        yield Client(websocket)


async def test_handlers_answer_by_the_type_of_a_message(client):
    await client.say(type="order", item="tea")  # is not answered
    await client.say(type="order", item="coffee", grams=50)

    assert await client.ask(type="sum") == {"cents": 600}
    assert await client.ask(type="list") == {"type": "list", "items": ["tea", "coffee"]}


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ({"type": "nothing"}, "literal_error"),
        ({"type": "order"}, "missing"),
        ({"type": "order", "item": "tea", "grams": "many"}, "int_parsing"),
        ({"type": "order", "item": "tea", "more": 1}, "extra_forbidden"),
        ({"item": "tea"}, "missing"),
        ({"type": "wrong"}, "internal_error"),
    ],
)
async def test_errors_are_sent_and_the_connection_stays(message, kind, client):
    answer = await client.ask(**message)

    assert [each["type"] for each in answer["errors"]] == [kind]
    assert await client.ask(type="sum") == {"cents": 0}


async def test_malformed_json_is_an_error_like_others(client):
    await client.websocket.send("{")

    answer = json.loads(await client.websocket.recv())
    assert answer["errors"][0]["type"] == "json_invalid"
    assert await client.ask(type="list") == {"type": "list", "items": []}


async def test_a_connection_begins_and_ends_with_the_class(server, client, shop):
    assert client.websocket.subprotocol == "shop"

    await client.websocket.close(4002)

    assert await server.end_of_call() is None
    assert shop.ends == [4002]
