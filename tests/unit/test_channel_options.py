"""What a channel is made of by default."""

import dataclasses

import pytest

from pondsocket.channel_options import ChannelOptions
from pondsocket.distributed.cluster import LoneCluster
from pondsocket.local_pubsub import LocalPubSub
from pondsocket.metrics import Telemetry
from pondsocket.options import Options
from pondsocket.ports import NoPeers


@pytest.fixture
def options():
    return ChannelOptions(name="/chat/1")


def test_a_name_is_enough(options):
    assert options.name == "/chat/1"
    assert options.options == Options()
    assert options.leave_handler is None
    assert options.on_destroy is None
    assert options.endpoint_path == ""


async def test_by_default_there_are_no_other_nodes(options):
    peers = options.network.peers("/socket", "/chat/1", object())

    assert isinstance(peers, NoPeers)


def test_by_default_nothing_looks_at_outgoing_messages(options):
    assert options.intercept(object(), "news") is None


def test_by_default_no_transport_is_registered_anywhere(options):
    assert options.find_session(object()) is None


def test_they_do_not_change_once_made(options):
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.name = "/chat/2"


@pytest.mark.parametrize("node_id", ["", "here"])
async def test_a_pubsub_brings_a_network_and_a_nodes_id(node_id):
    options = ChannelOptions(
        name="/chat/1", options=Options(node_id=node_id), pubsub=LocalPubSub()
    )

    linked = options.linked(Telemetry(None))

    assert isinstance(linked.network, LoneCluster)
    assert linked.options.node_id
    assert node_id in ("", linked.options.node_id)
