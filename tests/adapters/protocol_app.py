"""The application behind tests/vectors/client.json; the same for every adapter.

Connection handlers do what the path says. Handlers of channels do what the message
says: the payload's "do" is a list of ``[verb, *arguments]``, each a method of the
context or one of the verbs below. That way a vector shows by itself what the server is
told to do.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from pondsocket import (
    ConnectionContext,
    Endpoint,
    Event,
    EventContext,
    Hooks,
    JoinContext,
    LeaveContext,
    Options,
    OutgoingContext,
    PondError,
    PondSocket,
)

GATE_SECONDS = 4  # a vector that forgets to open a gate fails, and does not hang


class ProtocolApp:
    """A PondSocket with everything that the vectors need."""

    def __init__(self, options: Options) -> None:
        hooks = Hooks(before_message=refuse_in_hook, on_disconnect=self._note)
        self.pond = PondSocket(options=replace(options, hooks=hooks))
        self._gates: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._disconnected = asyncio.Event()
        self._verbs: dict[str, Callable[..., Awaitable[Any]]] = {
            "wait": self._wait,
            "open": self._open,
            "raise": raise_pond_error,
            "crash": crash,
            "broadcast_times": broadcast_times,
            "send_until_slow": send_until_slow,
            "send_until_dropped": send_until_dropped,
            "track_large": track_large,
            "broadcast_from_outside": self._broadcast_from_outside,
            "close_connection": self._close_connection,
        }
        for path, handler in CONNECTION_HANDLERS.items():
            self.pond.create_endpoint(path, handler)
        self.pond.create_endpoint("/held", self._accept_behind_gate)
        self._endpoint = self.pond.create_endpoint("/pond", accept)
        self._add_channels(self._endpoint)
        everything = self.pond.create_endpoint("/everything", accept)
        self._add_handlers(everything.create_channel("*", self._join))

    def _add_channels(self, endpoint: Endpoint) -> None:
        self._add_handlers(endpoint.create_channel("/room/:id", self._join))
        self._add_handlers(endpoint.create_channel("/any/*", self._join))
        watched = endpoint.create_channel("/watched/:id", self._join)
        self._add_handlers(watched)
        watched.on_leave(tell_who_left)
        marked = endpoint.create_channel("/marked/:id", self._join)
        self._add_handlers(marked)
        marked.on_outgoing("blocked", block)
        marked.on_outgoing("*", mark)

    def _add_handlers(self, lobby) -> None:
        lobby.on_message("do", self._do)
        lobby.on_message("fence", answer_fence)

    async def _join(self, context: JoinContext) -> None:
        await self._run(context, context.join_params.get("do", [["accept"]]))

    async def _do(self, context: EventContext) -> None:
        await self._run(context, context.get_payload()["do"])

    async def _run(self, context: JoinContext | EventContext, script: list) -> None:
        for verb, *arguments in script:
            special = self._verbs.get(verb)
            if special is not None:
                await special(context, *arguments)
            else:
                await getattr(context, verb)(*arguments)

    # Verbs that need the application.

    async def _wait(self, context: object, gate: str) -> None:
        async with asyncio.timeout(GATE_SECONDS):
            await self._gates[gate].wait()

    async def _open(self, context: object, gate: str) -> None:
        self._gates[gate].set()

    async def _accept_behind_gate(self, context: ConnectionContext) -> None:
        await self._wait(context, context.query["gate"])
        context.accept()

    async def _broadcast_from_outside(
        self, context: EventContext, channel: str, event: str, payload: dict
    ) -> None:
        await self.pond.broadcast("/pond", channel, event, payload)

    async def _close_connection(self, context: EventContext, user_id: str) -> None:
        await self._endpoint.close_connection(user_id)

    # What the runner asks.

    def _note(self, transport: object) -> None:
        self._disconnected.set()

    async def settle(self, seconds: float) -> list[str]:
        """Wait until every connection has ended; say what is left behind after that."""
        for gate in self._gates.values():
            gate.set()
        try:
            async with asyncio.timeout(seconds):
                while self.pond.stats().connections:
                    self._disconnected.clear()
                    await self._disconnected.wait()
                while tasks := _tasks_of_pondsocket():
                    await asyncio.wait(tasks)
        except TimeoutError:
            names = sorted(task.get_name() for task in _tasks_of_pondsocket())
            return [f"still there after {seconds} s: {self.pond.stats()}, {names}"]
        self._gates.clear()
        stats = self.pond.stats()
        left = stats.channels, stats.inbox_messages, stats.outbox_messages
        return [f"channels or messages are left: {stats}"] if any(left) else []


def _tasks_of_pondsocket() -> list[asyncio.Task[Any]]:
    """Tasks that serve connections; those of the hosts themselves go on."""
    hosts = {"pond-server", "pond-stop"}
    return [
        task
        for task in asyncio.all_tasks()
        if task.get_name().startswith("pond-") and task.get_name() not in hosts
    ]


# Verbs and handlers without state.


async def raise_pond_error(
    context: object, code: int, message: str, details=None, temporary=False
) -> None:
    raise PondError(message, code, details=details, temporary=temporary)


async def crash(context: object, kind: str) -> None:
    secret = "a secret in /etc/secret.py"
    raise {
        "ValueError": ValueError(secret),
        "CancelledError": asyncio.CancelledError(secret),
        "BaseExceptionGroup": BaseExceptionGroup(secret, [asyncio.CancelledError()]),
    }[kind]


async def broadcast_times(
    context: EventContext, event: str, times: int, size: int
) -> None:
    for number in range(times):
        await context.broadcast(event, {"n": number, "fill": "x" * size})


async def send_until_slow(
    context: EventContext, user_id: str, size: int, event: str
) -> None:
    """Send to a user that does not read until it is no member any more."""
    channel = context.channel
    async with asyncio.timeout(GATE_SECONDS):
        while await channel.has_user(user_id):
            await channel.broadcast_to(event, {"fill": "x" * size}, user_id)
            await asyncio.sleep(0)
    await context.reply("over", {})


async def send_until_dropped(
    context: EventContext, user_id: str, size: int, event: str
) -> None:
    """Send to a user that does not read until something was dropped."""
    before = context.telemetry.counts()["outbound_dropped"]
    async with asyncio.timeout(GATE_SECONDS):
        while context.telemetry.counts()["outbound_dropped"] == before:
            await context.broadcast_to(event, {"fill": "x" * size}, user_id)
            await asyncio.sleep(0)
    await context.reply("over", {})


async def track_large(context: EventContext, size: int) -> None:
    await context.track({"fill": "x" * size})


async def answer_fence(context: EventContext) -> None:
    await context.reply("fence", {})


async def tell_who_left(context: LeaveContext) -> None:
    await context.broadcast("left", {"id": context.user.id, "reason": context.reason})


async def mark(context: OutgoingContext) -> None:
    context.transform({**context.get_payload(), "marked": True})


async def block(context: OutgoingContext) -> None:
    context.block()


def refuse_in_hook(event: Event) -> None:
    match event.payload.get("hook"):
        case "refuse":
            raise PondError("not in this house", 422)
        case "crash":
            raise ValueError("a secret")


def accept(context: ConnectionContext) -> None:
    context.accept()


def welcome(context: ConnectionContext) -> None:
    context.reply(context.params["event"], {"motd": "hi"})


def decline(context: ConnectionContext) -> None:
    context.decline(int(context.params["code"]), context.query.get("message", "no"))


def fail(context: ConnectionContext) -> None:
    raise PondError("not you", int(context.params["code"]))


def break_down(context: ConnectionContext) -> None:
    raise ValueError("a secret in /etc/secret.py")


def decide_nothing(context: ConnectionContext) -> None:
    pass


CONNECTION_HANDLERS = {
    "/welcome/:event": welcome,
    "/decline/:code": decline,
    "/fail/:code": fail,
    "/break": break_down,
    "/undecided": decide_nothing,
}
