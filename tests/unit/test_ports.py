"""The stand-ins for other nodes; the Protocols beside them have no behaviour."""

import pytest

from pondsocket.changes import PresenceGone
from pondsocket.ports import Network, NoNetwork, NoPeers, Peers

CHANGE = PresenceGone("ann")

peers: Peers = NoPeers()
network: Network = NoNetwork()


async def test_without_other_nodes_a_channel_is_open_at_once():
    assert await NoPeers().open() is None


async def test_without_other_nodes_nobody_lives_elsewhere():
    assert await NoPeers().find_user("ann") is None


async def test_announcing_to_nobody_says_nothing():
    assert await NoPeers().announce(CHANGE) is None


@pytest.mark.parametrize("times", [1, 2])
async def test_leaving_nobody_is_no_error(times):
    for _ in range(times):
        assert await NoPeers().close() is None


def test_every_channel_of_a_single_node_has_no_peers():
    assert isinstance(NoNetwork().peers("/socket", "/room"), NoPeers)


async def test_a_single_node_emits_to_nobody():
    assert await NoNetwork().emit("/socket", "/room", CHANGE) is None
