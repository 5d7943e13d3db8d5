"""An application that sends back what it gets, over the adapters' own wire.

Autobahn's suite wants its very bytes back, and our messages are JSON. So this module,
which is all that its process serves, puts a codec of its own on every connection: what
a client sends still goes through the adapter's reader and the intake, the answer still
goes through the session's outbox and the adapter's sender.
"""

from collections.abc import Callable, Sequence
from typing import Any

from pondsocket import BaseTransport, Event, Frame, Options, PondSocket
from pondsocket.session import Session

ECHO = "echo"


class EchoCodec:
    """Answers each message as it is read; there is nothing left for a handler."""

    name = ECHO

    def __init__(self, answer: Callable[[Event], None]) -> None:
        self._answer = answer

    def decode(self, data: str | bytes) -> list[Event]:
        self._answer(Event(ECHO, ECHO, ECHO, ECHO, {"data": data}))
        return []

    def encode(self, event: Event) -> str | bytes:
        return event.payload["data"] if event.action == ECHO else ""


bind = BaseTransport.bind
write = Session.write


def bind_to_echo(
    transport: BaseTransport, limits: Any, telemetry: Any, answer: Any, *others: Any
) -> None:
    transport.codec = EchoCodec(answer)
    bind(transport, limits, telemetry, answer, *others)


def write_echoes(session: Session, frames: Sequence[Frame]) -> None:
    """Keep the greeting back, for which the suite does not wait."""
    if echoes := [frame for frame in frames if frame.event.action == ECHO]:
        write(session, echoes)


BaseTransport.bind = bind_to_echo
Session.write = write_echoes

pond = PondSocket(options=Options(max_messages_per_second=0))
pond.create_endpoint("/echo", lambda context: context.accept())
