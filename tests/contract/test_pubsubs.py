"""Every backend of the core keeps the contract.

One more is one more class: how its objects are opened, what they can do.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pondsocket import LocalPubSub, PubSub
from pondsocket.testing import Backend, WildcardContract


class Memory(Backend):
    """Objects of one name, which hear each other."""

    async def open(self) -> PubSub:
        return LocalPubSub(name="contract")


class TestLocalPubSub(WildcardContract):
    @asynccontextmanager
    async def backend(self) -> AsyncIterator[Backend]:
        yield Memory()
