"""The life of a connection."""

import asyncio
import json

import pytest
from fastapi import HTTPException as FastAPIHTTPException
from pydantic import BaseModel
from starlette.exceptions import HTTPException, WebSocketException
from starlette.websockets import WebSocket, WebSocketDisconnect

from pondsocket_asgi.endpoints import WebSocketHandlingEndpoint, on_event

INTERNAL = {"type": "internal_error", "loc": [], "msg": "Internal server error"}


class Reply(BaseModel):
    text: str
    number: float = float("nan")


class Recorder(WebSocketHandlingEndpoint):
    """Tells how its connections ended, and raises what it is told to."""

    ends = None
    fault = None

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.ends = []

    async def on_disconnect(self, close_code):
        self.ends.append(close_code)

    @on_event
    async def greet(self, name: str = "Ada"):
        return {"text": f"Hello {name}"}

    @on_event
    async def fail(self):
        raise self.fault

    @on_event
    async def close(self, code: int):
        await self.websocket.close(code)
        return {"text": "too late"}


@pytest.fixture
def endpoint():
    class Endpoint(Recorder):
        pass

    return Endpoint


async def test_a_client_is_accepted_served_and_seen_off(endpoint, host):
    answers = await host.run(
        endpoint, {"type": "greet"}, {"type": "greet", "name": "B"}
    )

    assert host.kinds == ["websocket.accept", "websocket.send", "websocket.send"]
    assert answers == [
        {"type": "greet", "text": "Hello Ada"},
        {"type": "greet", "text": "Hello B"},
    ]
    assert endpoint.ends == [1001]


def test_an_endpoint_has_the_websocket_and_bound_handlers(endpoint, host, scope):
    instance = endpoint(scope, host.receive, host.send)

    assert isinstance(instance.websocket, WebSocket)
    assert instance.handlers.keys() == endpoint.handlers.keys()


async def test_a_handler_without_a_result_is_not_answered(host):
    class Endpoint(Recorder):
        @on_event
        async def hush(self):
            """Say nothing."""

    answers = await host.run(Endpoint, {"type": "hush"}, {"type": "greet"})

    assert [each["type"] for each in answers] == ["greet"]


async def test_the_handlers_of_an_instance_handle_by_themselves(host):
    class Endpoint(Recorder):
        async def on_receive(self, message):
            await self.send_json(await self.handlers[message.type].handle(message))

    assert (await host.run(Endpoint, {"type": "greet"}))[0]["text"] == "Hello Ada"


async def test_an_answer_may_be_overridden_on_its_way(host):
    class Endpoint(Recorder):
        async def send_json(self, response):
            await super().send_json({"wrapped": response})

    assert await host.run(Endpoint, {"type": "greet"}) == [
        {"wrapped": {"type": "greet", "text": "Hello Ada"}}
    ]


async def test_an_error_may_be_told_otherwise(host):
    class Endpoint(Recorder):
        fault = KeyError()

        async def send_exception(self, exc):
            await self.send_json({"failed": type(exc).__name__})

    answers = await host.run(Endpoint, "{", {"type": "x"}, {"type": "fail"})

    assert [each["failed"] for each in answers] == [
        *("ValidationError", "ValidationError", "KeyError")
    ]


async def test_an_error_that_is_not_told_is_logged_all_the_same(host, caplog):
    class Endpoint(Recorder):
        fault = KeyError()

        async def send_exception(self, exc):
            """Tell nothing."""

    assert await host.run(Endpoint, {"type": "fail"}) == []
    assert "KeyError" in caplog.text


@pytest.mark.parametrize(
    ("message", "kind", "place"),
    [
        ("{", "json_invalid", []),
        ("[" * 10_000, "json_invalid", []),
        ([], "model_type", []),
        ({}, "missing", ["type"]),
        ({"type": "x"}, "literal_error", ["type"]),
        ({"type": "greet", "name": 1}, "string_type", ["name"]),
        ({"type": "greet", "more": 1}, "extra_forbidden", ["more"]),
        ({"type": "close"}, "missing", ["code"]),
        ({"type": "greet", "k" * 9_000: [1] * 9_000}, "too_heavy", []),
    ],
)
async def test_invalid_input_is_answered_and_the_next_message_served(
    message, kind, place, endpoint, host
):
    invalid, valid = await host.run(endpoint, message, {"type": "greet"})

    (entry,) = invalid["errors"]
    assert (entry["type"], entry["loc"]) == (kind, place)
    assert entry.keys() <= {"type", "loc", "msg", "ctx"}
    assert valid["type"] == "greet"


@pytest.mark.parametrize(
    "event",
    [
        *("__class__", "__init__", "__await__", "__dict__", "_connection", "_serve"),
        *("attach_handler", "dispatch", "handlers", "on_connect", "on_disconnect"),
        *("on_event", "on_receive", "send_exception", "send_json", "websocket"),
        *("on_greet", "handle_greet", "fault", "ends", "greet ", "Greet"),
    ],
)
async def test_a_client_reaches_handlers_and_nothing_else(event, endpoint, host):
    refused, served = await host.run(endpoint, {"type": event}, {"type": "greet"})

    assert refused["errors"][0]["type"] == "literal_error"
    assert served == {"type": "greet", "text": "Hello Ada"}
    assert endpoint.ends == [1001]


@pytest.mark.parametrize(
    "fault",
    [
        KeyError("secret"),
        ExceptionGroup("secret", [OSError()]),
        json.JSONDecodeError("secret", "", 0),
        RecursionError("secret"),
    ],
)
async def test_what_a_handler_raises_is_logged_and_not_told(
    fault, endpoint, host, caplog
):
    endpoint.fault = fault

    failed, served = await host.run(endpoint, {"type": "fail"}, {"type": "greet"})

    assert failed == {"errors": [INTERNAL]}
    assert served["type"] == "greet"
    assert "secret" in caplog.text
    assert len(caplog.records) == 1


async def test_an_http_exception_is_told_and_not_logged(endpoint, host, caplog):
    endpoint.fault = HTTPException(404, "no such room")

    ((entry,),) = [x["errors"] for x in await host.run(endpoint, {"type": "fail"})]

    assert (entry["status"], entry["detail"]) == (404, "no such room")
    assert caplog.records == []


@pytest.mark.parametrize("detail", [object(), "\ud800", ["x" * 100_000]])
async def test_a_detail_that_cannot_be_told_leaves_the_connection(
    detail, endpoint, host, caplog
):
    endpoint.fault = FastAPIHTTPException(404, detail)

    failed, served = await host.run(endpoint, {"type": "fail"}, {"type": "greet"})

    assert failed == {"errors": [INTERNAL]}
    assert served["type"] == "greet"
    assert endpoint.ends == [1001]
    assert "could not be told" in caplog.text


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (WebSocketException(4001, "enough"), 4001),
        (WebSocketDisconnect(1000), 1000),
        (WebSocketDisconnect(1006), 1000),
    ],
)
async def test_what_closes_ends_the_connection(fault, code, endpoint, host):
    endpoint.fault = fault

    await host.run(endpoint, {"type": "fail"}, {"type": "greet"})

    assert host.kinds == ["websocket.accept", "websocket.close"]
    assert host.sent[-1]["code"] == code
    assert endpoint.ends == [code]


async def test_a_handler_may_close_and_its_answer_is_dropped(endpoint, host):
    await host.run(endpoint, {"type": "close", "code": 4002}, {"type": "greet"})

    assert host.kinds == ["websocket.accept", "websocket.close"]
    assert endpoint.ends == [4002]


async def test_a_client_that_leaves_before_its_answer_is_seen_off(host):
    class Endpoint(Recorder):
        @on_event
        async def wait(self):
            host.leave(4003)
            host.fault = OSError("gone")
            return {"text": "too late"}

    host.say({"type": "wait"})
    await host.serve(Endpoint)

    assert Endpoint.ends == [4003]


@pytest.mark.parametrize("method", ["send_exception", "send_json"])
async def test_an_exception_that_cannot_be_told_ends_the_connection(
    method, endpoint, host
):
    async def fail(self, _):
        raise LookupError

    setattr(endpoint, method, fail)

    with pytest.raises(LookupError):
        await host.run(endpoint, "{}")

    assert endpoint.ends == [1011]


async def test_a_cancelled_connection_is_seen_off(host):
    started = asyncio.Event()

    class Endpoint(Recorder):
        @on_event
        async def wait(self):
            started.set()
            await asyncio.Event().wait()

    host.say({"type": "wait"})
    task = asyncio.create_task(host.serve(Endpoint))
    async with asyncio.timeout(5):
        await started.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert Endpoint.ends == [1011]


async def test_messages_are_handled_one_after_the_other(host):
    running = []

    class Endpoint(Recorder):
        @on_event
        async def work(self, number: int):
            running.append(number)
            await asyncio.sleep(0)
            assert running == [number]
            running.clear()
            return {"number": number}

    answers = await host.run(
        Endpoint, *({"type": "work", "number": n} for n in range(5))
    )

    assert [each["number"] for each in answers] == [*range(5)]


@pytest.mark.parametrize(
    ("fault", "sent"),
    [
        (WebSocketException(4001, "no"), ["websocket.close"]),
        (WebSocketDisconnect(1001), ["websocket.close"]),
    ],
)
async def test_a_client_may_be_refused(fault, sent, host):
    class Endpoint(Recorder):
        async def on_connect(self):
            raise fault

    await host.run(Endpoint)

    assert host.kinds == sent
    assert Endpoint.ends == []


async def test_what_on_connect_raises_otherwise_is_the_frameworks(host):
    class Endpoint(Recorder):
        async def on_connect(self):
            raise HTTPException(401)

    with pytest.raises(HTTPException):
        await host.run(Endpoint)

    assert Endpoint.ends == []


async def test_a_client_that_on_connect_closed_is_seen_off(host):
    class Endpoint(Recorder):
        async def on_connect(self):
            await self.websocket.close(4001)

    await host.run(Endpoint)

    assert Endpoint.ends == [4001]


async def test_a_connection_that_is_neither_accepted_nor_closed_is_an_error(host):
    class Endpoint(Recorder):
        async def on_connect(self):
            """Forget to accept."""

    with pytest.raises(RuntimeError, match="neither accepted nor closed"):
        await host.run(Endpoint)

    assert Endpoint.ends == [1011]


async def test_nothing_can_be_sent_before_the_acceptance(host):
    class Endpoint(Recorder):
        async def on_connect(self):
            await self.send_json({"text": "too early"})

    with pytest.raises(RuntimeError):
        await host.run(Endpoint)


async def test_numbers_that_json_has_not_are_null(host):
    class Endpoint(Recorder):
        @on_event
        async def measure(self):
            return {"reply": Reply(text="hi"), "number": float("inf")}

        @on_event(response_model=Reply)
        async def measure_again(self):
            return Reply(text="hi")

    first, second = await host.run(
        Endpoint, {"type": "measure"}, {"type": "measure_again"}
    )

    assert first == {
        "type": "measure", "reply": {"text": "hi", "number": None}, "number": None
    }  # fmt: skip
    assert second == {"text": "hi", "number": None}


@pytest.mark.parametrize("result", [{"x": "\ud800"}, {"x": object()}, "text"])
async def test_an_answer_that_is_no_json_is_the_fault_of_the_server(
    result, host, caplog
):
    class Endpoint(Recorder):
        @on_event
        def odd(self):
            return result

    failed, served = await host.run(Endpoint, {"type": "odd"}, {"type": "greet"})

    assert failed == {"errors": [INTERNAL]}
    assert served["type"] == "greet"
    assert len(caplog.records) == 1


async def test_a_circular_answer_is_the_fault_of_the_server(host):
    class Endpoint(Recorder):
        @on_event
        def turn(self):
            circle = {}
            circle["again"] = circle
            return circle

    assert await host.run(Endpoint, {"type": "turn"}) == [{"errors": [INTERNAL]}]


async def test_a_response_that_does_not_fit_its_model_is_logged_and_not_told(
    host, caplog
):
    class Endpoint(Recorder):
        @on_event(response_model=Reply)
        async def odd(self):
            return {"secret": 1}

    assert await host.run(Endpoint, {"type": "odd"}) == [{"errors": [INTERNAL]}]
    assert "text\n  Field required" in caplog.text
