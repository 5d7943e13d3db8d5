"""Backend: what connects PubSub objects in the suites. Its author writes it."""

from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager

from pondsocket.pubsub import PubSub

__all__ = ["Backend", "HasBackend", "HasStoppableBackend", "StoppableBackend"]


class Backend(ABC):
    """A server, or what stands for one, that nobody else uses meanwhile."""

    @abstractmethod
    async def open(self) -> PubSub:
        """Return a new PubSub object that is connected to the server.

        Called several times in a test. The suite closes what it got.
        """


class StoppableBackend(Backend):
    """A server that a test may take away."""

    @abstractmethod
    async def stop(self) -> None:
        """End the server at once; return when nobody can reach it."""

    @abstractmethod
    async def start(self) -> None:
        """Start it again where it was, empty; return when it can be reached.

        :meth:`open` works before this too: the object connects once there is a server.
        """


class HasBackend(ABC):
    """The one method that a subclass must give."""

    @abstractmethod
    def backend(self) -> AbstractAsyncContextManager[Backend]:
        """Provide a backend for the length of one test.

        An ``@asynccontextmanager`` method that starts a server, or reaches one, and
        yields a :class:`Backend`. All objects are closed before the block ends.
        """


class HasStoppableBackend(HasBackend):
    """The same, where the server can be taken away."""

    @abstractmethod
    def backend(self) -> AbstractAsyncContextManager[StoppableBackend]:
        """Provide a backend that can be stopped, started, for one test."""
