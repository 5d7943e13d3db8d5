"""Cases 42 and 43: what a log holds of a client, and what a client learns of a failure.

Everything that a client can send goes out with line breaks, escape sequences and
secrets in it, to an application that fails wherever it can, so that there is something
to log. Only what this library logs is looked at: what a host logs (uvicorn: the path
with its query, escaped) is the host's.
"""

import logging
import traceback
from urllib.parse import quote

import pytest

from pondsocket import (
    BadRequest,
    ConnectionContext,
    EventContext,
    Hooks,
    JoinContext,
    Options,
    PondError,
    PondSocket,
    wrap,
)
from tests.reliability.clients import (
    EventStreamClient,
    Member,
    WebSocketClient,
    eventually,
    make_message,
    request,
)
from tests.reliability.hosts import serving

EVIL = "\r\nERROR forged\x1b[2J\x9b\x7f\x00\u2028\u202e"
SECRET = "t0ken-0f-alice"
INNER = "password at /srv/private/settings.py"
LONGEST = 3000  # characters of one line: a channel's name, escaped, and some words
KINDS = pytest.mark.parametrize(
    "kind", [WebSocketClient, EventStreamClient], ids=lambda kind: kind.kind
)


def fail(*_: object) -> None:
    raise RuntimeError("the application's own words")


def build() -> PondSocket:
    """Return an application that fails in all that it does after letting people in."""
    hooks = Hooks(
        on_connect=fail,
        on_disconnect=fail,
        before_join=fail,
        after_join=fail,
        after_message=fail,
    )
    pond = PondSocket(options=Options(hooks=hooks))
    pond.create_endpoint("/failing/:name", fail)
    endpoint = pond.create_endpoint("/live/*", lambda ctx: ctx.accept())
    endpoint.create_channel("/failing/*", fail)

    async def join(context: JoinContext) -> None:
        await context.accept()

    async def act(context: EventContext) -> None:
        await context.broadcast(f"out {context.event_name}", context.get_payload())
        raise BadRequest(context.channel.name, "a refusal is logged, too")

    async def crash(context: EventContext) -> None:
        await context.channel.get_user(context.event.request_id)

    lobby = endpoint.create_channel("*", join)
    lobby.on_message("crash", crash)
    lobby.on_message("*", act)
    lobby.on_outgoing("*", fail)
    lobby.on_leave(fail)
    return pond


async def send_everything_bad(port: int, kind: type[Member]) -> None:
    """Put line breaks, escape sequences and secrets wherever a client has a say."""
    headers = {
        "Authorization": f"Bearer {SECRET}",
        "Cookie": f"session={SECRET}",
        "X-Evil": "\x9b2J" * 10,
        "User-Agent": f"\x9b{SECRET}",
    }
    path = f"/live/{quote(EVIL)}?token={SECRET}&evil={quote(EVIL)}"
    await kind.open(port, f"/failing/{quote(EVIL)}?token={SECRET}", headers=headers)
    await kind.open(
        port, path, headers={**headers, "Origin": "http://\x9b2J\x85" * 500}
    )
    client = await kind.open(port, path, headers=headers)
    visible = f"/room/{EVIL.translate(dict.fromkeys(range(32)))}"
    for channel in visible, f"/failing{visible}", f"/room/{EVIL}", "x" * 600:
        await client.ask("JOIN_CHANNEL", channel, EVIL, **{EVIL: SECRET})
    for event in EVIL, "crash", "x" * 256:
        message = make_message("BROADCAST", visible, event, {"password": SECRET})
        message["requestId"] += EVIL
        await client.send(message)
        await client.until(lambda wanted=message["requestId"]: wanted in client.answers)
    for malformed in b"{", b'{"action":"' + SECRET.encode() + b'\x1b"}', EVIL.encode():
        before = len(client.received)
        await client.send(malformed)
        await client.until(lambda before=before: len(client.received) > before)
    await request(port, "POST", headers={"X-Connection-ID": f"{SECRET}\x9b"})
    await client.leave(visible)
    client.hang_up()


@KINDS
async def test_of_a_client_the_log_holds_bounded_escaped_lines_and_no_secrets(
    kind, caplog
):
    caplog.set_level(logging.DEBUG, "pondsocket")
    caplog.set_level(logging.DEBUG, "pondsocket")
    pond = build()
    async with serving(pond) as port:
        await send_everything_bad(port, kind)
        await eventually(lambda: pond.stats().connections == 0)

    ours = [entry for entry in caplog.records if entry.name.startswith("pondsocket")]
    lines = [line for entry in ours for line in lines_of(entry)]
    counts = pond.stats().counts
    assert counts["handler_failed"] >= 2
    assert counts["hook_failed"] >= 5
    assert counts["leave_failed"] == 1
    assert counts["outgoing_failed"] >= 2
    assert counts["malformed"] >= 3
    assert counts["refused"] >= 3
    assert len(ours) >= 10
    for line in lines:
        assert line.isprintable(), ascii(line)
        assert len(line) < LONGEST
        assert SECRET not in line


def lines_of(entry: logging.LogRecord) -> list[str]:
    """Return the message as one line, and its traceback as it is printed."""
    lines = [entry.getMessage()]
    if entry.exc_info is not None:
        lines += "".join(traceback.format_exception(*entry.exc_info)).split("\n")
    return lines


# 43


class Broken(Exception):
    """Knows things that are nobody's business."""


def break_down(*_: object) -> None:
    raise Broken(INNER)


def break_down_politely(*_: object) -> None:
    try:
        break_down()
    except Broken as broken:
        raise wrap(broken, "cannot do that") from broken


@KINDS
@pytest.mark.parametrize(
    ("failure", "code", "message"),
    [
        (break_down, 500, "Internal server error"),
        (break_down_politely, 500, "cannot do that"),
    ],
)
async def test_a_client_learns_nothing_of_an_exception(failure, code, message, kind):
    def connect(context: ConnectionContext) -> None:
        if "fail" in context.query:
            failure()
        context.accept()

    pond = PondSocket()
    endpoint = pond.create_endpoint("/live", connect)
    endpoint.create_channel("/failing", failure)
    lobby = endpoint.create_channel("/room", lambda context: context.accept())
    lobby.on_message("fail", failure)
    async with serving(pond) as port:
        refused = await kind.open(port, "/live?fail")
        client = await kind.open(port)
        declined = await client.join("/failing")
        await client.join("/room")
        answer = await client.ask("BROADCAST", "/room", "fail")

        assert (refused.status, bytes(refused.data)) == (code, message.encode())
        assert declined["payload"] == {"code": code, "message": message}
        assert answer["payload"] == {
            "code": code,
            "message": message,
            "details": None,
            "temporary": False,
        }


@KINDS
async def test_nothing_that_is_said_on_a_bad_day_names_files_classes_or_modules(kind):
    pond = build()
    async with serving(pond) as port:
        client = await kind.open(port, "/live/x")
        for message in (
            b"{",
            b"[]",
            b'{"action":1}',
            b'{"action":"BROADCAST"}',
            b'{"action":"BROADCAST","event":"e","channelName":"c","requestId":"r",'
            b'"payload":' + b"[" * 100_000,
        ):
            before = len(client.received)
            await client.send(message)
            await client.until(lambda before=before: len(client.received) > before)
        await client.join("/failing/x")
        await client.join("/room")
        await client.ask("BROADCAST", "/room", "crash")
        said = str(client.received)
        said += str(bytes((await request(port, "POST")).data))
        said += str(bytes((await request(port, "PATCH")).data))
        said += str(bytes((await request(port, "GET", "/nowhere")).data))

    assert len(client.named("INVALID_MESSAGE")) == 5
    for word in ("Traceback", "msgspec", "pondsocket", ".py", "Error:", "Exception"):
        assert word not in said


async def test_what_a_pond_error_says_is_meant_for_the_client():
    def refuse(context: EventContext) -> None:
        raise PondError("no more beer", 418, details={"left": 0}, cause=Broken(INNER))

    pond = PondSocket()
    endpoint = pond.create_endpoint("/live", lambda context: context.accept())
    lobby = endpoint.create_channel("/room", lambda context: context.accept())
    lobby.on_message("order", refuse)
    async with serving(pond) as port:
        client = await WebSocketClient.open(port)
        await client.join("/room")
        answer = await client.ask("BROADCAST", "/room", "order")

    assert answer["payload"] == {
        "code": 418,
        "message": "no more beer",
        "details": {"left": 0},
        "temporary": False,
    }
