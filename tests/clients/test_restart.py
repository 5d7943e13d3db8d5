"""What people notice of a server that is killed and started again on its port."""

import asyncio

import pytest

from tests.clients.people import COUPLES, of_kinds
from tests.clients.servers import CommandLineServer, running

pytestmark = pytest.mark.asyncio(loop_scope="session")

# seconds; the delay of the JavaScript client is fixed: one second the first time
SOON = {"base_reconnect_delay": 0.01}


@pytest.mark.parametrize("kinds", COUPLES)
async def test_who_lost_the_server_finds_back_to_the_room_and_the_others(
    kinds, own_server, open_person, channel
):
    ann = await open_person(kinds[0], "ann", own_server.url, options=SOON)
    bob = await open_person(kinds[1], "bob", own_server.url, options=SOON)
    await ann.connect()
    await bob.connect()
    ann_there = await ann.join(channel)
    bob_there = await bob.join(channel)

    own_server.kill()
    for each in (ann_there, bob_there):
        await each.becomes("STALLED")
    own_server.start()
    for each in (ann_there, bob_there):
        await each.becomes("JOINED")

    await ann_there.say("say", {"text": "here again"})
    heard_first = [await each.hears("said") for each in (ann_there, bob_there)]
    await bob_there.say("say", {"text": "me too"})
    heard_then = [await each.hears("said") for each in (ann_there, bob_there)]
    assert heard_first == [{"text": "here again"}] * 2
    assert heard_then == [{"text": "me too"}] * 2
    assert await ann_there.ask("echo", {"n": 1}) == {"n": 1}
    for each in (ann_there, bob_there):
        names = sorted(user["name"] for user in await each.users())
        assert names == ["ann", "bob"]
    for each in (ann, bob):
        each.notes.unread("error")  # some clients call the loss an error


@pytest.mark.parametrize("kinds", [of_kinds("javascript")])  # who tries more than once
async def test_pondsocket_serve_is_found_again_on_its_port(
    kinds, tmp_path, open_person, channel
):
    with running(CommandLineServer(tmp_path / "log")) as server:
        ann = await open_person(*kinds, "ann", server.url)
        await ann.connect()
        room = await ann.join(channel)

        server.kill()
        await room.becomes("STALLED")
        server.start()
        await room.becomes("JOINED")

        assert await room.ask("echo", {"n": 1}) == {"n": 1}
        ann.notes.unread("error")  # there was nobody when it called too early


@pytest.mark.parametrize("kinds", [of_kinds("python"), of_kinds("javascript")])
async def test_pondsocket_serve_ends_at_once_when_asked_and_its_clients_notice(
    kinds, tmp_path, open_person, channel
):
    with running(CommandLineServer(tmp_path / "log")) as server:
        ann = await open_person(*kinds, "ann", server.url)
        await ann.connect()
        room = await ann.join(channel)

        await asyncio.to_thread(server.stop)

        await room.becomes("STALLED")
        if kinds == ("python",):  # the other one does not tell
            assert "1012" in await ann.notes.next("error")
        await ann.disconnect()
        ann.notes.unread("error")  # there is nobody any more
