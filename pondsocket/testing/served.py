"""Served: what every suite asks of its user, a way to serve and to connect."""

from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager

from pondsocket.server import PondSocket
from pondsocket.testing.scenario import Connect

__all__ = ["Served"]


class Served(ABC):
    """The one method that a subclass must give."""

    @abstractmethod
    def serve(self, pond: PondSocket) -> AbstractAsyncContextManager[Connect]:
        """Serve a PondSocket in this event loop for the length of one test.

        It has one endpoint, ``pond.endpoints[0]`` at the path ``/contract``. An
        ``@asynccontextmanager`` method that yields a coroutine function: each call of
        it connects one client, which the endpoint's ``request_connection`` has
        admitted, and returns its :class:`TransportPeer`. The PondSocket is closed
        before the block ends.

        A server with small buffers makes for quick tests: what is sent to a client
        that does not read must come to a halt within some megabytes.
        """
