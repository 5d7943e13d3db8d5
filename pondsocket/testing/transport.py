"""TransportContract: what ``pondsocket.Transport`` promises, as a suite of tests."""

from typing import ClassVar

from pondsocket.testing.checks import eventually, expect, expect_equal
from pondsocket.testing.endings import EndingsContract
from pondsocket.testing.messages import MessagesContract
from pondsocket.testing.scenario import scenario
from pondsocket.testing.slowness import SlownessContract
from pondsocket.testing.stage import GIVEN, Stage
from pondsocket.transport import FrameSink, PushableTransport, Transport
from pondsocket.types import TransportType

__all__ = ["TransportContract"]

POWERS: tuple[type, ...] = (FrameSink, PushableTransport)


class TransportContract(MessagesContract, EndingsContract, SlownessContract):
    """The suite that every transport runs.

    Subclass it under a name that begins with ``Test``, give :meth:`serve`, and add a
    base class for each further power of the transport: ``FrameSinkContract``,
    ``PushContract``, ``ConnectionIdContract`` and, if clients can see a close code,
    ``CloseCodeContract``. What a transport does not claim is not collected, so nothing
    is skipped; a power that it has without its base class fails a test here.

    Each test makes its own event loop and its own PondSocket, lasts seconds at most,
    and fails if a task, a connection or a channel outlives it. The server must run in
    the test's event loop.
    """

    power: ClassVar[type | None] = None  # the Protocol that a further suite is about

    @scenario()
    async def test_it_has_all_that_a_transport_must_have(self, stage: Stage) -> None:
        """It has the methods of ``pondsocket.Transport`` and says who it is."""
        client = await stage.connect()
        transport = client.transport
        expect(isinstance(transport, Transport), "every method of the Protocol")
        expect(isinstance(transport.transport_type(), TransportType), "a TransportType")
        expect_equal(transport.get_id(), client.user_id, "its id")
        expect(transport.is_active(), "a connected transport that is active")
        await client.transport.close()
        expect_equal(transport.get_id(), client.user_id, "its id after the end")

    @scenario()
    async def test_each_of_its_powers_is_tested(self, stage: Stage) -> None:
        """Its powers and the suites among its base classes are the same."""
        transport = (await stage.connect()).transport
        has = {power for power in POWERS if isinstance(transport, power)}
        tested = {vars(base).get("power") for base in type(self).__mro__} - {None}
        expect_equal(tested, has, "the powers that are tested")

    @scenario()
    async def test_registering_it_does_not_wait_for_its_client(
        self, stage: Stage
    ) -> None:
        """``handle_messages`` starts to read and returns, the client being silent."""
        client = await stage.connect()
        await eventually(
            lambda: client.user_id in stage.registered,
            "a register_transport() that returns while the connection lives",
        )

    @scenario()
    async def test_its_assigns_are_its_own(self, stage: Stage) -> None:
        """Assigns belong to one connection, and a clone is a copy."""
        one, other = (
            (await stage.connect()).transport,
            (await stage.connect()).transport,
        )
        expect_equal(one.clone_assigns(), GIVEN, "what the handshake assigned")
        one.set_assign("name", "ann")
        clone = one.clone_assigns()
        clone["name"] = "bob"
        expect_equal(
            one.get_assign("name"), "ann", "an assign after a change elsewhere"
        )
        expect_equal(other.get_assign("name"), None, "another connection's assign")
        expect_equal(other.clone_assigns(), GIVEN, "another connection's assigns")

    @scenario()
    async def test_nobody_finds_a_connection_by_its_users_id(
        self, stage: Stage
    ) -> None:
        """Whoever knows a user's id, as all in a room do, cannot speak for it."""
        client = await stage.connect()
        found = await stage.pond.find_connection(client.user_id)
        expect_equal(found, None, "the connection of a user's id")
