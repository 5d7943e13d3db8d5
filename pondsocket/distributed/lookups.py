"""Lookups: users of one channel whom other nodes are asked for."""

import asyncio

from pondsocket.distributed.messages import UserGetResponse
from pondsocket.types import User

__all__ = ["Lookups"]


class Lookups:
    """The questions that are under way.

    Args:
        timeout: Seconds to wait for an answer.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._waiting: dict[str, asyncio.Future[User | None]] = {}

    def begin(self, request_id: str) -> None:
        """Expect an answer; called before the question goes out."""
        loop = asyncio.get_running_loop()
        self._waiting[request_id] = loop.create_future()

    async def result(self, request_id: str) -> User | None:
        """Return the answer, None if none comes in time."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._waiting[request_id]
        except TimeoutError:
            return None
        finally:
            del self._waiting[request_id]

    def answer(self, message: UserGetResponse) -> None:
        """Take in an answer; a second one, or one to nobody's question, is ignored."""
        waiting = self._waiting.get(message.request_id)
        if waiting is not None and not waiting.done():
            presence = message.presence or None
            waiting.set_result(User(message.user_id, message.assigns or {}, presence))

    def close(self) -> None:
        """End all of them without an answer."""
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_result(None)
