"""Case 20: whatever an application raises, wherever it does, only that request fails.

The others go on, the client learns nothing of it, and whoever runs the server finds it
in the log: once, with its traceback, and counted.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from typing import Any

import pytest

from pondsocket import Hooks, NoopMetrics, Options, PondSocket
from tests.reliability.clients import (
    EventStreamClient,
    Member,
    WebSocketClient,
    eventually,
)
from tests.reliability.hosts import serving

ROOM = "/room/one"
SECRET = "s3cret"
# what uvicorn says after each handshake that was refused with an HTTP response
HOST_NOISE = "ASGI callable returned without completing handshake."


class DisasterError(BaseException):
    """What no `except Exception` catches."""


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise ValueError(SECRET)

    __repr__ = __str__


FAILURES: dict[str, Callable[[], BaseException]] = {
    "RuntimeError": lambda: RuntimeError(SECRET),
    "KeyError": lambda: KeyError(SECRET),
    "TimeoutError": lambda: TimeoutError(SECRET),
    "CancelledError": lambda: asyncio.CancelledError(SECRET),
    "StopAsyncIteration": lambda: StopAsyncIteration(SECRET),
    "ExceptionGroup": lambda: ExceptionGroup(SECRET, [KeyError(SECRET)]),
    "BaseExceptionGroup": lambda: BaseExceptionGroup(
        SECRET, [asyncio.CancelledError(), DisasterError(SECRET)]
    ),
    "BaseException": lambda: DisasterError(SECRET),
    "unprintable": UnprintableError,
}
EVERY_FAILURE = pytest.mark.parametrize("failure", FAILURES)


class Application:
    """Fails in the places where it is told to, with what it is told to raise."""

    def __init__(self, metrics: object = None) -> None:
        self.failing: dict[str, str] = {}
        self.raised: list[BaseException] = []
        self.pond = PondSocket(
            options=Options(
                hooks=Hooks(
                    on_connect=self.fail_in("on_connect"),
                    on_disconnect=self.fail_in("on_disconnect"),
                    before_join=self.fail_in("before_join"),
                    after_join=self.fail_in("after_join"),
                    before_message=self.fail_in("before_message"),
                    after_message=self.fail_in("after_message"),
                    metrics=metrics,
                )
            )
        )
        endpoint = self.pond.create_endpoint(
            "/live",
            self.fail_in("connection", lambda ctx: ctx.accept()),
            self.fail_in("connection middleware", lambda _, go_on: go_on()),
        )
        lobby = endpoint.create_channel(
            "/room/:name",
            self.fail_in("join", lambda ctx: ctx.accept()),
            self.fail_in("join middleware", lambda _, go_on: go_on()),
        )
        lobby.on_message(
            "echo",
            self.fail_in("message", lambda ctx: ctx.reply("echoed", {})),
            self.fail_in("message middleware", lambda _, go_on: go_on()),
        )
        lobby.on_message("say", lambda ctx: ctx.broadcast("said", {}))
        lobby.on_message("watch", lambda ctx: ctx.broadcast("watched", {}))
        lobby.on_leave(
            self.fail_in("leave"),
            self.fail_in("leave middleware", lambda _, go_on: go_on()),
        )
        lobby.on_leave(self.fail_in("second leave handler"))
        lobby.on_outgoing(
            "watched",
            self.fail_in("outgoing"),
            self.fail_in("outgoing middleware", lambda _, go_on: go_on()),
        )

    def fail_in(self, place: str, otherwise: Callable[..., Any] | None = None):
        async def handler(*arguments: Any) -> None:
            failure = self.failing.get(place)
            if failure is not None:
                self.raised.append(FAILURES[failure]())
                raise self.raised[-1]
            result = otherwise(*arguments) if otherwise else None
            if asyncio.iscoroutine(result):
                await result

        return handler

    def count(self, name: str) -> int:
        return self.pond.stats().counts[name]

    def check_that_it_was_logged_once(self, caplog, *counters: str) -> None:
        """Look for one entry with a traceback, for one count, and that is all."""
        entries = [
            entry
            for entry in caplog.records
            if entry.levelno >= logging.WARNING and entry.getMessage() != HOST_NOISE
        ]
        assert [entry.name.partition(".")[0] for entry in entries] == ["pondsocket"]
        assert [entry.exc_info[1] for entry in entries] == self.raised
        assert self.raised[0].__traceback__ is not None
        counted = {k: v for k, v in self.pond.stats().counts.items() if v}
        assert counted == dict.fromkeys(counters, 1)


@pytest.fixture
def application():
    return Application()


async def enter(port: int, kind: type[Member] = WebSocketClient) -> Member:
    member = await kind.open(port)
    assert (await member.join(ROOM))["event"] == "ACKNOWLEDGE"
    return member


async def check_that_it_works(member: Member) -> None:
    answer = await member.ask("BROADCAST", ROOM, "echo")
    assert answer["event"] == "echoed"


@EVERY_FAILURE
@pytest.mark.parametrize("place", ["connection", "connection middleware"])
@pytest.mark.parametrize("kind", [WebSocketClient, EventStreamClient])
async def test_a_connection_handler_that_fails_refuses_one_connection(
    kind, place, failure, application, caplog
):
    async with serving(application.pond) as port:
        witness = await enter(port)
        application.failing = {place: failure}
        refused = await kind.open(port)
        application.failing = {}

        assert refused.status == 500
        assert refused.received == []
        await check_that_it_works(witness)
        await check_that_it_works(await enter(port, kind))
        application.check_that_it_was_logged_once(caplog, "handler_failed")


@EVERY_FAILURE
@pytest.mark.parametrize("place", ["join", "join middleware"])
async def test_a_join_handler_that_fails_declines_one_join(
    place, failure, application, caplog
):
    async with serving(application.pond) as port:
        witness = await enter(port)
        client = await WebSocketClient.open(port)
        application.failing = {place: failure}
        declined = await client.join(ROOM)
        application.failing = {}

        assert declined["event"] == "UNAUTHORIZED"
        assert declined["payload"] == {"code": 500, "message": "Internal server error"}
        await check_that_it_works(witness)
        assert (await client.join(ROOM))["event"] == "ACKNOWLEDGE"
        application.check_that_it_was_logged_once(caplog, "handler_failed")


@EVERY_FAILURE
@pytest.mark.parametrize("place", ["message", "message middleware", "before_message"])
async def test_a_message_handler_that_fails_is_answered_with_an_error(
    place, failure, application, caplog
):
    async with serving(application.pond) as port:
        witness, client = await enter(port), await enter(port)
        application.failing = {place: failure}
        answer = await client.ask("BROADCAST", ROOM, "echo")
        application.failing = {}

        assert (answer["event"], answer["payload"]["code"]) == ("INTERNAL_ERROR", 500)
        assert SECRET not in str(answer)
        await check_that_it_works(witness)
        await check_that_it_works(client)
        application.check_that_it_was_logged_once(caplog, "handler_failed")


@EVERY_FAILURE
@pytest.mark.parametrize("how", ["leave", "hang up"])
@pytest.mark.parametrize("place", ["leave", "leave middleware", "second leave handler"])
async def test_a_leave_handler_that_fails_keeps_nobody_in(
    place, how, failure, application, caplog
):
    async with serving(application.pond) as port:
        witness, client = await enter(port), await enter(port)
        application.failing = {place: failure}
        if how == "leave":
            assert (await client.leave(ROOM))["event"] == "EXIT_ACKNOWLEDGE"
        else:
            client.hang_up()
        await eventually(lambda: bool(application.count("leave_failed")))
        application.failing = {}

        await check_that_it_works(witness)
        assert (
            await application.pond.endpoints[0].lobbies[0].find(ROOM).user_count() == 1
        )
        application.check_that_it_was_logged_once(caplog, "leave_failed")


@EVERY_FAILURE
@pytest.mark.parametrize("place", ["outgoing", "outgoing middleware"])
async def test_an_outgoing_handler_that_fails_blocks_one_delivery(
    place, failure, application, caplog
):
    async with serving(application.pond) as port:
        client = await enter(port)
        application.failing = {place: failure}
        await client.tell("BROADCAST", ROOM, "watch")
        await eventually(lambda: bool(application.raised))
        application.failing = {}
        await client.tell("BROADCAST", ROOM, "watch")
        await client.until(lambda: bool(client.named("watched")))

        await check_that_it_works(client)
        assert len(client.named("watched")) == 1
        application.check_that_it_was_logged_once(caplog, "outgoing_failed")


@EVERY_FAILURE
@pytest.mark.parametrize(
    "hook",
    ["on_connect", "on_disconnect", "before_join", "after_join", "after_message"],
)
async def test_a_hook_that_fails_changes_nothing(hook, failure, application, caplog):
    async with serving(application.pond) as port:
        application.failing = {hook: failure}
        client = await enter(port)
        await check_that_it_works(client)
        client.hang_up()
        await eventually(lambda: bool(application.count("hook_failed")))
        application.failing = {}

        await check_that_it_works(await enter(port))
        application.check_that_it_was_logged_once(caplog, "hook_failed")


@EVERY_FAILURE
async def test_a_handler_may_fail_after_it_has_answered(failure, application, caplog):
    lobby = application.pond.endpoints[0].lobbies[0]

    @lobby.on_message("late")
    async def reply_and_fail(context):
        await context.reply("replied", {})
        await application.fail_in("late")()

    async with serving(application.pond) as port:
        client = await enter(port)
        application.failing = {"late": failure}
        answer = await client.ask("BROADCAST", ROOM, "late")

        assert answer["event"] == "replied"
        await client.until(lambda: bool(client.named("INTERNAL_ERROR")))
        await check_that_it_works(client)
        application.check_that_it_was_logged_once(caplog, "handler_failed")


@EVERY_FAILURE
async def test_a_close_callback_that_fails_keeps_nobody_connected(
    failure, application, caplog
):
    lobby = application.pond.endpoints[0].lobbies[0]

    @lobby.on_message("watch me")
    async def watch(context):
        user = await application.pond.find_transport(context.user.id)
        user.on_close(application.fail_in("close"))
        await context.reply("watched", {})

    async with serving(application.pond) as port:
        client = await enter(port)
        await client.ask("BROADCAST", ROOM, "watch me")
        application.failing = {"close": failure}
        client.hang_up()
        await eventually(lambda: bool(application.raised))
        await eventually(lambda: not application.pond.stats().connections)
        application.failing = {}

        await check_that_it_works(await enter(port))
        application.check_that_it_was_logged_once(caplog)


class FailingMetrics(NoopMetrics):
    """A collector whose every method raises."""

    def __init__(self, failure: str) -> None:
        self._failure = failure

    def __getattribute__(self, name: str) -> object:
        if name.startswith("_"):
            return super().__getattribute__(name)
        return self._fail

    def _fail(self, *_: object, **__: object) -> None:
        error = FAILURES[self._failure]()
        raise error


@EVERY_FAILURE
async def test_a_metrics_collector_that_fails_changes_nothing(failure, caplog):
    application = Application(FailingMetrics(failure))
    async with serving(application.pond) as port:
        client = await enter(port)
        await check_that_it_works(client)
        await check_that_it_works(client)
        await client.leave(ROOM)
        client.hang_up()
        await eventually(lambda: not application.pond.stats().connections)

    ours = [entry for entry in caplog.records if entry.name.startswith("pondsocket")]
    methods = re.findall(r" failed in (\w+)\(\)", caplog.text)
    assert len(set(methods)) == len(methods) == len(ours)
    assert {"connection_opened", "message_sent", "channel_left"} < set(methods)
    assert all(entry.exc_info for entry in ours)
    assert application.count("metrics_failed") > len(methods)
