"""PondHandler: what ``websockets.serve`` needs of a PondSocket."""

from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from pondsocket import PondSocket
from pondsocket.web import Admission, HTTPAnswer, Refusal, admit, keep_read_buffers
from pondsocket_websockets.connection import ONLY_WEBSOCKETS, PondConnection
from pondsocket_websockets.exchange import make_response, read_request
from pondsocket_websockets.frames import find_frame_writer
from pondsocket_websockets.settings import settings_for
from pondsocket_websockets.transport import WebsocketsTransport

__all__ = ["PondHandler"]

_SWITCHING_PROTOCOLS = 101
_NO_HANDSHAKE = {  # status by the library -> what must go with it
    405: [("allow", "GET")],
    426: [("upgrade", "websocket")],
}


class PondHandler:
    r"""Serves a PondSocket for those who call ``websockets.serve`` themselves.

    ::

        handler = PondHandler(pond)
        async with websockets.serve(handler, host, port, **handler.settings):
            await stop.wait()
            await handler.close()

    The connection handler of the PondSocket runs during the handshake. A
    ``process_request`` of one's own decides before it, and hands on what it does not
    decide::

        async def process_request(connection, request):
            if request.path == "/health":
                return connection.respond(200, "fine\n")
            return await handler.process_request(connection, request)

    Args:
        pond: What to serve; endpoints may be created later, too.
    """

    def __init__(self, pond: PondSocket) -> None:
        keep_read_buffers()
        self._pond = pond
        self._admissions: WeakKeyDictionary[ServerConnection, Admission] = (
            WeakKeyDictionary()
        )
        self._silent: set[PondConnection] = set()

    @property
    def settings(self) -> dict[str, Any]:
        """All keywords for ``websockets.serve``, by the options of the PondSocket.

        Only ``process_request`` is necessary. The others set limits, deadlines and
        keep-alive pings, and harden each connection; change what you like.
        """
        return settings_for(self._pond.options) | {
            "process_request": self.process_request,
            "create_connection": partial(PondConnection, self._silent),
        }

    async def process_request(
        self, connection: ServerConnection, request: Request
    ) -> Response:
        """Decide about a handshake; called by the library once it has read it.

        Returns:
            The response: 101 if the connection handler accepted, its refusal with its
            status, or what is wrong with the handshake, which no handler sees then.
        """
        response = connection.protocol.accept(request)
        if response.status_code in _NO_HANDSHAKE:
            headers = _NO_HANDSHAKE[response.status_code]
            return make_response(
                HTTPAnswer.text(response.status_code, ONLY_WEBSOCKETS, headers)
            )
        if response.status_code != _SWITCHING_PROTOCOLS:
            return response
        admission = await admit(self._pond, read_request(connection, request))
        if isinstance(admission, Refusal):
            return make_response(HTTPAnswer.text(admission.status, admission.message))
        self._admissions[connection] = admission
        return response

    async def __call__(self, connection: ServerConnection) -> None:
        """Carry an accepted connection to its end; called by the library.

        Raises:
            RuntimeError: If the handshake did not go through :meth:`process_request`.
        """
        admission = self._admissions.pop(connection, None)
        if admission is None:
            raise RuntimeError("expected process_request=handler.process_request")
        transport = WebsocketsTransport(
            id=admission.user_id,
            connection=connection,
            options=self._pond.options,
            joins_messages=admission.joins_messages,
            frame_writer=find_frame_writer(connection),
        )
        try:
            is_live = await admission.register(transport)
            del admission  # and all of the request, which nobody reads any more
            if is_live:
                await transport.run()
        finally:  # the library cancels its tasks with the event loop, too
            await transport.peer_gone()

    async def close(self) -> None:
        """Close the PondSocket: 1012 to everybody, 503 to who is just arriving.

        To be called before the library's server is closed; idempotent.
        """
        await self._pond.close()
        for connection in tuple(self._silent):
            connection.transport.abort()
