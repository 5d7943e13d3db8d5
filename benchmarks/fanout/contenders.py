"""Who is measured: a server program, where it runs, and how its clients talk to it."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.fanout.environments import KEPT, OURS, interpreter_for
from benchmarks.fanout.programs import compiled

__all__ = [
    "AIOHTTP",
    "AS_IT_IS",
    "BY_NAME",
    "CONTENDERS",
    "C_JOINED",
    "C_SEND",
    "OUR_ADAPTERS",
    "OUR_AIOHTTP",
    "OUR_ASGI",
    "OUR_WEBSOCKETS",
    "PLAIN",
    "PUBLISHED",
    "STARLETTE",
    "VARIANTS",
    "WEBSOCKETS",
    "Contender",
    "Protocol",
    "command_of",
    "pond_protocol",
]

SERVERS = Path(__file__).parent / "servers"

PUBLISHED = "pondsocket 0.0.7, uvicorn"
WEBSOCKETS = "websockets.broadcast()"
STARLETTE = "Starlette loop, uvicorn"
AIOHTTP = "aiohttp loop"
C_SEND = "C, send() per member"
C_JOINED = "C, joined writes"
OUR_AIOHTTP = "ours, aiohttp"
OUR_WEBSOCKETS = "ours, websockets"
OUR_ASGI = "ours, asgi"
AS_IT_IS = "ours, uvicorn as it is"

REQUEST = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"  # an id, as ours are


@dataclass(frozen=True)
class Protocol:
    """Options of the load generator, which says what each means.

    Attributes:
        path: Of the handshake.
        echo_path: The same for an echo.
        options: What else it needs in order to join, to broadcast and to ask.
    """

    path: str
    echo_path: str
    options: tuple[str, ...]

    def to_options(self, *, is_echo: bool = False) -> list[str]:
        """Return them as the command line has them."""
        return ["--path", self.echo_path if is_echo else self.path, *self.options]


@dataclass(frozen=True)
class Contender:
    """A server that can be started and loaded.

    Attributes:
        name: As the tables have it.
        program: A source in C or a program of ``servers``, and its arguments.
        environment: Name of the environment that a Python program needs.
        protocol: How clients talk to it.
        bare: Name of the contender that is its host alone, "" if there is none.
    """

    name: str
    program: tuple[str, ...]
    environment: str
    protocol: Protocol
    bare: str = ""

    @property
    def is_pond(self) -> bool:
        """Whether it is a pondsocket, ours or the published one."""
        return self.protocol.path.startswith("/live")

    @property
    def is_host(self) -> bool:
        """Whether some contender has it as its bare host."""
        return any(each.bare == self.name for each in CONTENDERS)

    def in_rooms(self, kind: str) -> "Contender":
        """Return it with rooms of another kind (see ``servers/rooms.py``)."""
        return replace(self, protocol=pond_protocol(channel=f"/{kind}/one"))

    def tracking(self, *, is_told_changes: bool = False) -> "Contender":
        """Return it with clients that are present in their room.

        Args:
            is_told_changes: Whether they ask for changes instead of whole lists.
        """
        wish = "pond.presence=diff" if is_told_changes else ""
        return replace(
            self,
            name=f"{self.name}, changes" if is_told_changes else self.name,
            protocol=pond_protocol(params='{"track":%n}', wish=wish),
        )

    def enveloped(self) -> "Contender":
        """Return it with messages of the size that a pondsocket's have on the wire."""
        if self.protocol is not _BARE:
            return self
        return replace(self, protocol=_ENVELOPED)


def pond_protocol(
    *,
    channel: str = "/room/one",
    params: str = "{}",
    wish: str = "",
    more: tuple[str, ...] = (),
) -> Protocol:
    """Return how the clients of a pondsocket talk.

    Args:
        channel: What they join.
        params: Of the join, as JSON.
        wish: The query of the handshake.
        more: Options of the load that go with the wish.
    """
    path = f"/live?{wish}" if wish else "/live"
    join = _pond_message("JOIN_CHANNEL", "JOIN", channel, params)
    say, ask = (
        _pond_message("BROADCAST", event, channel, '{"body":"%b"}')
        for event in ("say", "ask")
    )
    options = ("--step", join, '"ACKNOWLEDGE"', "--say", say, "--ask", ask)
    return Protocol(path, path, (*options, *more))


def _pond_message(action: str, event: str, channel: str, payload: str) -> str:
    head = {
        "action": action,
        "event": event,
        "channelName": channel,
        "requestId": REQUEST,
    }
    text = json.dumps(head, separators=(",", ":"))
    return f'{text[:-1]},"payload":{payload}}}'


def _bare_protocol(message: str) -> Protocol:
    """Return how clients talk to a server that hands on what comes, as it came."""
    options = ("--step", "", "hello", "--say", message, "--ask", message)
    return Protocol("/room", "/echo", options)


_BARE = _bare_protocol("%b")
_ENVELOPED = _bare_protocol(  # what a pondsocket makes of a `say`
    _pond_message("BROADCAST", "said", "/room/one", '{"body":"%b"}')
)
_SOCKETIO_PATH = "/socket.io/?EIO=4&transport=websocket"
_SOCKETIO = Protocol(
    _SOCKETIO_PATH,
    _SOCKETIO_PATH,
    (
        "--step", "", "0{",
        "--step", "40", "40{",
        "--step", '42["enter"]', "entered",
        "--say", '42["say","%b"]',
        "--ask", '42["ask","%b"]',
        "--ping", "2", "3",
    ),
)  # fmt: skip
_POND = pond_protocol()
_BATCH = pond_protocol(wish="pond.frames=batch", more=("--batch",))
_DEFLATE = pond_protocol(more=("--deflate",))


def _ours(
    name: str, bare: str, *arguments: str, protocol: Protocol = _POND
) -> Contender:
    return Contender(name, ("serve_pond.py", *arguments), OURS, protocol, bare)


def _peer(name: str, program: str, environment: str) -> Contender:
    return Contender(name, (program,), environment, _BARE)


VARIANTS = [
    _ours(f"{OUR_ASGI}, uvloop", STARLETTE, "asgi", "--uvloop"),
    _ours(f"{OUR_ASGI}, batch frames", STARLETTE, "asgi", protocol=_BATCH),
    _ours(
        f"{OUR_ASGI}, compression",
        STARLETTE, "asgi", "--compression", protocol=_DEFLATE,
    ),
    _ours(f"{OUR_AIOHTTP}, batch frames", AIOHTTP, "aiohttp", protocol=_BATCH),
    _ours(
        f"{OUR_WEBSOCKETS}, compression",
        WEBSOCKETS, "websockets", "--compression", protocol=_DEFLATE,
    ),
    _ours(f"{AS_IT_IS}, --ws wsproto", STARLETTE, "uvicorn", "--ws", "wsproto"),
]  # fmt: skip

PLAIN = [
    Contender(C_SEND, ("room.c", "send"), "", _BARE),
    Contender(C_JOINED, ("room.c", "join"), "", _BARE),
    _peer("picows, send() per member", "serve_picows.py", "picows"),
    _peer(AIOHTTP, "serve_aiohttp.py", "aiohttp"),
    _peer(WEBSOCKETS, "serve_websockets.py", "websockets"),
    _peer(STARLETTE, "serve_starlette.py", "starlette"),
    Contender(PUBLISHED, ("serve_published.py",), "published", _POND, STARLETTE),
    Contender(
        "python-socketio, uvicorn", ("serve_socketio.py",), "socketio", _SOCKETIO
    ),
    _ours(OUR_AIOHTTP, AIOHTTP, "aiohttp"),
    _ours(OUR_WEBSOCKETS, WEBSOCKETS, "websockets"),
    _ours(OUR_ASGI, STARLETTE, "asgi"),
    _ours(AS_IT_IS, STARLETTE, "uvicorn"),
    _ours("ours, bridge", STARLETTE, "bridge"),
]

CONTENDERS = [*PLAIN, *VARIANTS]
BY_NAME = {each.name: each for each in CONTENDERS}
OUR_ADAPTERS = (OUR_AIOHTTP, OUR_WEBSOCKETS, OUR_ASGI, AS_IT_IS)


def command_of(
    contender: Contender, folder: Path = KEPT, python: Path | None = None
) -> list[str]:
    """Return what starts a contender; makes what it needs the first time.

    Args:
        contender: Whom to start.
        folder: Where environments and programs are kept.
        python: As for :func:`interpreter_for`.

    Raises:
        UnavailableError: If that cannot be made.
    """
    program, *arguments = contender.program
    if not contender.environment:
        return [str(compiled(program, folder)), *arguments]
    interpreter = interpreter_for(contender.environment, folder, python)
    return [str(interpreter), str(SERVERS / program), *arguments]
