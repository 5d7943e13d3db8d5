"""Endpoints in Starlette and FastAPI, over real sockets."""

import asyncio
import gc
import tracemalloc
from typing import Annotated

import fastapi
import pytest
from fastapi import WebSocket
from pydantic import BaseModel, Field
from starlette.applications import Starlette
from starlette.exceptions import HTTPException, WebSocketException
from starlette.routing import Mount, WebSocketRoute
from websockets.exceptions import InvalidStatus

from pondsocket_asgi.endpoints import WebSocketHandlingEndpoint, on_event


class User(BaseModel):
    name: str
    age: Annotated[int, Field(ge=0)] = 0


class Greeter(WebSocketHandlingEndpoint):
    @on_event
    async def greet(self, name: str, greeting: str = "Hello"):
        return {"text": f"{greeting} {name}"}

    @on_event
    def handle_register(self, user: User, friends: list[User] | None = None):
        return {"name": user.name, "friends": [each.name for each in friends or []]}

    @on_event
    async def hush(self):
        return None

    @on_event
    async def count(self, numbers: list[int]):
        return {"count": len(numbers)}

    @on_event
    async def fail(self):
        raise RuntimeError("the password is 12345")

    @on_event
    async def refuse(self):
        raise HTTPException(403, "not you")

    @on_event
    async def expel(self):
        raise WebSocketException(4001, "enough")


class Closed(WebSocketHandlingEndpoint):
    async def on_connect(self):
        raise HTTPException(401, "who are you?")


class Expelled(WebSocketHandlingEndpoint):
    async def on_connect(self):
        raise WebSocketException(4001, "enough")


def in_starlette():
    return Starlette(routes=[WebSocketRoute("/ws", Greeter)])


def in_a_starlette_mount():
    return Starlette(routes=[Mount("/", Greeter)])


def in_fastapi_routes():
    return fastapi.FastAPI(routes=[WebSocketRoute("/ws", Greeter)])


def in_fastapi_router_routes():
    app = fastapi.FastAPI()
    app.router.routes.append(WebSocketRoute("/ws", Greeter))
    return app


def by_fastapi_add_websocket_route():
    app = fastapi.FastAPI()
    app.router.add_websocket_route("/ws", Greeter)
    return app


def by_fastapi_websocket_route():
    app = fastapi.FastAPI()
    app.websocket_route("/ws")(Greeter)
    return app


def in_an_included_router():
    app = fastapi.FastAPI()
    router = fastapi.APIRouter(routes=[WebSocketRoute("/ws", Greeter)])
    app.include_router(router)
    return app


def in_a_fastapi_mount():
    app = fastapi.FastAPI()
    app.mount("/", Greeter)
    return app


def in_a_fastapi_function():
    app = fastapi.FastAPI()

    @app.websocket("/ws")
    async def greeter(websocket: WebSocket):
        await Greeter(websocket.scope, websocket.receive, websocket.send)

    return app


def without_a_framework(endpoint=Greeter):
    async def app(scope, receive, send):
        await endpoint(scope, receive, send)

    return app


ALL = [
    in_starlette,
    in_a_starlette_mount,
    in_fastapi_routes,
    in_fastapi_router_routes,
    by_fastapi_add_websocket_route,
    by_fastapi_websocket_route,
    in_an_included_router,
    in_a_fastapi_mount,
    in_a_fastapi_function,
    without_a_framework,
]

each_form = pytest.mark.parametrize("make_app", ALL)
each_host = pytest.mark.parametrize("serve", ["uvicorn", "bridge"], indirect=True)


@each_host
@each_form
async def test_an_endpoint_answers_wherever_it_is_routed(make_app, serve, open_client):
    client = await open_client(await serve(make_app()) + "/ws")

    answer = await client.ask({"type": "greet", "name": "Ada"})

    assert answer == {"type": "greet", "text": "Hello Ada"}


@each_host
@each_form
async def test_a_websocket_exception_closes_wherever_it_is_routed(
    make_app, serve, open_client
):
    client = await open_client(await serve(make_app()) + "/ws")

    await client.send({"type": "expel"})

    assert await client.code_of_close() == 4001
    assert client.connection.close_reason == "enough"


@pytest.fixture
async def client(serve, open_client):
    return await open_client(await serve(in_starlette()) + "/ws")


@each_host
async def test_binary_frames_hold_json_too(client):
    answer = await client.ask(b'{"type": "greet", "name": "\xc3\x85sa"}')

    assert answer["text"] == "Hello Åsa"


@each_host
async def test_nested_models_arrive_and_plain_functions_run(client):
    user = {"name": "Ada", "age": "36"}
    answer = await client.ask({"type": "register", "user": user, "friends": [user]})

    assert answer == {"type": "register", "name": "Ada", "friends": ["Ada"]}


@each_host
async def test_answers_come_in_the_order_of_the_questions(client):
    for name in "abc":
        await client.send({"type": "greet", "name": name})
        await client.send({"type": "register", "user": {"name": name}})

    answers = [await client.receive() for _ in range(6)]

    assert [each.get("text", each.get("name")) for each in answers] == [
        *("Hello a", "a"),
        *("Hello b", "b"),
        *("Hello c", "c"),
    ]


async def test_an_http_exception_of_a_handler_is_told(client):
    answer = await client.ask({"type": "refuse"})

    assert answer["errors"][0]["status"] == 403


@each_host
async def test_a_failing_handler_reveals_nothing_and_keeps_the_connection(client):
    answer = await client.ask({"type": "fail"})

    assert answer == {
        "errors": [
            {"type": "internal_error", "loc": [], "msg": "Internal server error"}
        ]
    }
    assert (await client.ask({"type": "greet", "name": "Ada"}))["type"] == "greet"


@each_host
@pytest.mark.parametrize(
    ("app", "status"),
    [
        (Starlette(routes=[WebSocketRoute("/ws", Closed)]), 401),
        (fastapi.FastAPI(routes=[WebSocketRoute("/ws", Closed)]), 401),
        (Starlette(routes=[WebSocketRoute("/ws", Expelled)]), 403),
        (without_a_framework(Expelled), 403),
        # nobody there takes the exception, so it is the host's
        (without_a_framework(Closed), 500),
    ],
)
async def test_a_client_may_be_refused(app, status, serve, open_client):
    url = await serve(app)

    with pytest.raises(InvalidStatus) as refused:
        await open_client(f"{url}/ws")

    assert refused.value.response.status_code == status


class Waiter(WebSocketHandlingEndpoint):
    """Answers when it may, and tells how its only connection ended."""

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.started = asyncio.Event()
        cls.may_answer = asyncio.Event()
        cls.end = asyncio.get_running_loop().create_future()

    async def on_disconnect(self, close_code):
        self.end.set_result(close_code)

    @on_event
    async def wait(self):
        self.started.set()
        await self.may_answer.wait()
        return {"text": "too late"}


@pytest.fixture
async def waiter():
    class Endpoint(Waiter):
        pass

    return Endpoint


@pytest.fixture
async def waiting_client(waiter, serve, open_client):
    """A client whose message is being handled."""
    url = await serve(Starlette(routes=[WebSocketRoute("/ws", waiter)]))
    client = await open_client(f"{url}/ws")
    await client.send({"type": "wait"})
    async with asyncio.timeout(5):
        await waiter.started.wait()
    return client


@each_host
async def test_the_code_of_a_client_that_left_without_its_answer_is_known(
    waiter, waiting_client
):
    await waiting_client.connection.close(4003)
    waiter.may_answer.set()

    async with asyncio.timeout(5):
        assert await waiter.end == 4003


@each_host
async def test_a_client_that_vanished_without_its_answer_is_seen_off(
    waiter, waiting_client
):
    waiting_client.connection.transport.abort()
    waiter.may_answer.set()

    async with asyncio.timeout(5):
        assert await waiter.end in {1005, 1006}


INVALID = [
    "{",
    "",
    "[]",
    "null",
    '"text"',
    "[" * 5_000,
    '{"type": "greet"',
    b"\xff\xfe",
    b'{"type": "\xff"}',
    '{"type": "\\ud800"}',
    '{"type": "count", "numbers": [' + "9" * 5_000 + "]}",
    {},
    {"type": None},
    {"type": ""},
    {"type": "nothing"},
    {"type": "x" * 10_000},
    {"type": "greet"},
    {"type": "greet", "name": 1},
    {"type": "greet", "name": "Ada", "more": 1},
    {"type": "greet", "name": "Ada", "self": 1, "__class__": 2, "model_config": 3},
    {"type": "greet", "k" * 10_000: 1},
    {"type": "greet", "name": "a"} | {f"k{n}": 1 for n in range(500)},
    {"type": "register", "user": {"name": "Ada", "age": -1}},
    {"type": "register", "user": []},
    {"type": "count", "numbers": ["x"] * 1_000},
]


async def test_a_thousand_invalid_messages_leave_connection_and_memory_as_they_were(
    client,
):
    async def send_invalid(rounds):
        for _ in range(rounds):
            for message in INVALID:
                assert (await client.ask(message)).keys() == {"errors"}

    tracemalloc.start()
    try:
        await send_invalid(rounds=4)  # fills caches
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        await send_invalid(rounds=40)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert after - before < 100_000
    assert (await client.ask({"type": "greet", "name": "Ada"}))["type"] == "greet"


@each_host
async def test_a_message_that_is_too_long_is_answered_with_the_limit(client):
    answer = await client.ask('{"type": "greet", "name": "' + "x" * 65_536 + '"}')

    assert answer["errors"][0]["type"] == "too_large"
    assert answer["errors"][0]["ctx"] == {"limit": 65_536}


@each_host
async def test_a_message_of_a_megabyte_is_answered_with_a_hundred_errors(
    client, monkeypatch
):
    monkeypatch.setattr(Greeter, "max_message_size", 0)
    wrong = '"x",' * 240_000
    answer = await client.ask(f'{{"type": "count", "numbers": [{wrong}1]}}')

    *entries, last = answer["errors"]
    assert [each["loc"] for each in entries] == [["numbers", n] for n in range(100)]
    assert last == {"type": "too_many_errors", "loc": [], "msg": "239900 more errors"}
