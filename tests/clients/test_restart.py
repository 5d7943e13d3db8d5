"""What people notice of a server that ends, or starts again on its port."""

import signal

import pytest

from tests.clients.meetings import ENDINGS, RESTARTS, RESTARTS_OF_PROGRAMS
from tests.clients.servers import CHAT, listening_server, run_again, url_of
from tests.hosts.process import run_host

pytestmark = pytest.mark.asyncio(loop_scope="session")

# seconds; the delay of the JavaScript client is fixed: one second the first time
SOON = {"base_reconnect_delay": 0.01}


@pytest.mark.parametrize("meeting", RESTARTS_OF_PROGRAMS)
async def test_who_lost_the_server_finds_back_to_the_room_and_the_others(
    meeting, tmp_path, open_person, channel
):
    with listening_server(meeting.host, tmp_path / "log") as server:
        kinds = meeting.kinds
        ann = await open_person(kinds[0], "ann", server.url, options=SOON)
        bob = await open_person(kinds[1], "bob", server.url, options=SOON)
        await ann.connect()
        await bob.connect()
        ann_there = await ann.join(channel)
        bob_there = await bob.join(channel)

        server.kill()
        for each in (ann_there, bob_there):
            await each.becomes("STALLED")
        server.start()
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
            await each.disconnect()
            each.notes.unread("error")  # some clients call the loss an error


@pytest.mark.parametrize("meeting", RESTARTS)
async def test_a_host_is_found_again_on_its_port(
    meeting, tmp_path, open_person, channel
):
    log = tmp_path / "log"
    async with run_host(meeting.host, CHAT, log) as host:
        people = [
            await open_person(kind, "ann", url_of(host.port)) for kind in meeting.kinds
        ]
        for each in people:
            await each.connect()
        rooms = [await each.join(channel) for each in people]

        host.kill()
        for each in rooms:
            await each.becomes("STALLED")
        async with run_again(meeting.host, host.port, log):
            for each in rooms:
                await each.becomes("JOINED")

            assert [await each.ask("echo", {"n": 1}) for each in rooms] == [
                {"n": 1} for _ in rooms
            ]
            for each in people:
                await each.disconnect()
                each.notes.unread("error")  # there was nobody when it called too early


@pytest.mark.parametrize("meeting", ENDINGS)
async def test_a_host_ends_well_when_asked_and_its_clients_notice(
    meeting, tmp_path, open_person, channel
):
    async with run_host(meeting.host, CHAT, tmp_path / "log") as host:
        ann = await open_person(*meeting.kinds, "ann", url_of(host.port))
        await ann.connect()
        room = await ann.join(channel)

        code = await host.terminate()

        # uvicorn by itself raises the signal again when it has stopped
        expected = -signal.SIGTERM if meeting.host.startswith("uvicorn") else 0
        assert code == expected, host.log
        await room.becomes("STALLED")
        if meeting.kinds == ("python",):  # the other one does not tell
            assert "1012" in await ann.notes.next("error")
        await ann.disconnect()
        ann.notes.unread("error")  # there is nobody any more
