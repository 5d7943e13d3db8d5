"""PondConnection: a connection of the library, hardened against its client.

The library offers ``create_connection`` for such a class, but does not document what it
overrides; tests/adapters/bare_websockets/test_connection.py holds it against each
release.
"""

import asyncio
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import InvalidMessage
from websockets.frames import Frame, Opcode
from websockets.protocol import Event, State

from pondsocket.web import FrameBudget, HTTPAnswer
from pondsocket_websockets.exchange import make_response

__all__ = ["ONLY_WEBSOCKETS", "PondConnection"]

ONLY_WEBSOCKETS = (
    "Expected a WebSocket handshake. This server has no event streams (SSE): "
    "connect with WebSocket, or ask who runs it for another adapter of pondsocket.\n"
)

_POLICY_VIOLATION = 1008  # RFC 6455 7.4.1
_BEGINS_MESSAGE = frozenset({Opcode.TEXT, Opcode.BINARY})


class PondConnection(ServerConnection):
    """What ``serve`` runs each connection on.

    Beside what the library does: a request that can be no handshake is answered, not
    just closed; pings, pongs and empty continuation frames without end close the
    connection with 1008; and whoever does not close when told to is cut off after
    ``close_timeout``, where nothing is sent any more too.

    Args:
        silent: Holds this connection until it has asked for something.
        *args: The library's.
        **settings: The library's.
    """

    # Four are the library's: with more than 30 attributes of a connection Python keeps
    # them in a dict, of 1.5 kilobytes.
    __slots__ = (
        "_budget", "_silent", "recv_messages", "request_rcvd", "server", "transport",
    )  # fmt: skip

    # here and not in __init__: most connections never have any of their own
    _has_answered = False
    _cut_off: asyncio.TimerHandle | None = None

    def __init__(
        self,
        silent: "set[PondConnection]",
        *args: Any,  # noqa: ANN401 - the library's
        **settings: Any,  # noqa: ANN401 - as above
    ) -> None:
        super().__init__(*args, **settings)
        self._silent = silent
        self._budget = FrameBudget()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, with a client that has said nothing yet."""
        super().connection_made(transport)
        self._silent.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._silent.discard(self)
        if self._cut_off is not None:
            self._cut_off.cancel()
        super().connection_lost(exc)

    def process_event(self, event: Event) -> None:
        """Take the request, then frames, unless there are too many."""
        self._silent.discard(self)
        if not isinstance(event, Frame) or self._admits(event):
            super().process_event(event)
        elif self.protocol.state is State.OPEN:
            self.protocol.fail(_POLICY_VIOLATION, "too many frames")
            self.send_data()

    def send_data(self) -> None:
        """Send what there is; after the end, not for ever."""
        if not self._has_answered and self._is_nonsense():
            self._has_answered = True
            answer = make_response(HTTPAnswer.text(400, ONLY_WEBSOCKETS))
            self.transport.write(answer.serialize())
        super().send_data()
        is_ending = self._cut_off is None and self.protocol.close_expected()
        if is_ending and self.close_timeout is not None:
            self._cut_off = asyncio.get_running_loop().call_later(
                self.close_timeout, self.transport.abort
            )

    def _is_nonsense(self) -> bool:
        """Tell whether what came is no request; the library then sends no answer."""
        return (
            isinstance(self.protocol.handshake_exc, InvalidMessage)
            and self.protocol.state is State.CONNECTING
        )

    def _admits(self, frame: Frame) -> bool:
        if frame.opcode in _BEGINS_MESSAGE:
            return True
        now = asyncio.get_running_loop().time()
        unsent = self.transport.get_write_buffer_size()
        if frame.opcode is Opcode.CONT:
            return self._budget.admits_part(len(frame.data), now, unsent=unsent)
        return self._budget.admits(now, unsent=unsent)
