"""PondConnection: a connection of the library, hardened against its client.

The library offers ``create_connection`` for such a class, but does not document what it
overrides; tests/adapters/bare_websockets/test_connection.py holds it against each
release.
"""

import asyncio
import math
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import InvalidMessage
from websockets.frames import Frame, Opcode
from websockets.protocol import Event, State

from pondsocket.web import HTTPAnswer
from pondsocket_websockets.exchange import make_response

__all__ = ["ONLY_WEBSOCKETS", "PondConnection"]

ONLY_WEBSOCKETS = (
    "Expected a WebSocket handshake. This server has no event streams (SSE): "
    "connect with WebSocket, or ask who runs it for another adapter of pondsocket.\n"
)

_POLICY_VIOLATION = 1008  # RFC 6455 7.4.1
_BEGINS_MESSAGE = frozenset({Opcode.TEXT, Opcode.BINARY})
_RATE = 1000  # frames per second that carry no message of their own
_BURST = 2000


class PondConnection(ServerConnection):
    """What ``serve`` runs each connection on.

    Beside what the library does: a request that can be no handshake is answered, not
    just closed; pings, pongs and continuation frames without end close the connection
    with 1008; and whoever does not close when told to is cut off after
    ``close_timeout``, where nothing is sent any more too.

    Args:
        silent: Holds this connection until it has asked for something.
        *args: The library's.
        **settings: The library's.
    """

    # here and not in __init__: most connections never have any of their own
    _has_answered = False
    _debt = 0.0  # frames above the rate
    _counted = 0.0  # when it was last brought up to date
    _cut_off: asyncio.TimerHandle | None = None

    def __init__(
        self,
        silent: "set[PondConnection]",
        *args: Any,  # noqa: ANN401 - the library's
        **settings: Any,  # noqa: ANN401 - as above
    ) -> None:
        super().__init__(*args, **settings)
        self._silent = silent

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
        is_extra = isinstance(event, Frame) and event.opcode not in _BEGINS_MESSAGE
        if not is_extra or self._admits_frame():
            super().process_event(event)

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

    def _admits_frame(self) -> bool:
        now = asyncio.get_running_loop().time()
        if not self.transport.get_write_buffer_size():  # else pongs would pile up there
            self._debt = max(0.0, self._debt - (now - self._counted) * _RATE)
        self._counted = now
        self._debt += 1
        if self._debt <= _BURST:
            return True
        if self._debt < math.inf:
            self._debt = math.inf  # a message without its middle must not come together
            self.protocol.fail(_POLICY_VIOLATION, "too many frames")
            self.send_data()
        return False
