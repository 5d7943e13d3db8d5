"""The stand-ins for other nodes; the Protocols beside them have no behaviour."""

import pytest

from pondsocket.changes import PresenceGone, Sent
from pondsocket.frame import Frame
from pondsocket.ports import Network, NoNetwork, NoPeers, Peers
from pondsocket.types import AllUsers, Event

CHANGE = PresenceGone("ann")
SENT = Sent(Frame(Event("BROADCAST", "/room", "1", "news", {})), AllUsers())

peers: Peers = NoPeers()
network: Network = NoNetwork()


async def test_without_other_nodes_a_channel_is_open_at_once():
    assert await NoPeers().open() is None


async def test_without_other_nodes_nobody_lives_elsewhere():
    assert await NoPeers().find_user("ann") is None


async def test_announcing_to_nobody_says_nothing():
    assert await NoPeers().announce(CHANGE) is None


async def test_asking_nobody_says_nothing():
    assert await NoPeers().ask("node-2", CHANGE) is None


@pytest.mark.parametrize("times", [1, 2])
async def test_leaving_nobody_is_no_error(times):
    for _ in range(times):
        assert await NoPeers().close() is None


def test_every_channel_of_a_single_node_has_no_peers():
    assert isinstance(NoNetwork().peers("/socket", "/room", object()), NoPeers)


@pytest.mark.parametrize("name", ["/room", "/room.*", ".*"])
def test_any_channel_name_does_on_a_single_node(name):
    assert NoNetwork().check_channel_name(name) is None


async def test_a_single_node_emits_to_nobody():
    assert await NoNetwork().emit("/socket", "/room", SENT) is None
