"""PondASGIApp as a host sees it: the kinds of scopes, and a chat over WebSocket."""

import asyncio

import pytest

from pondsocket import PondSocket
from pondsocket_asgi import PondASGIApp


async def joined(chat, room="/chat/1"):
    session = await chat.driver.connect_websocket("/socket")
    connection = await session.receive_json()
    request_id = await session.send_client_message(
        action="JOIN_CHANNEL", channel_name=room, event="join"
    )
    ack = await session.receive_json()
    assert (ack["event"], ack["requestId"]) == ("ACKNOWLEDGE", request_id)
    return session, connection["payload"]["id"]


async def test_another_kind_of_scope_is_an_error(chat, host):
    with pytest.raises(ValueError, match="carrier pigeon"):
        await chat.app({"type": "carrier pigeon"}, host.receive, host.send)


async def test_a_connection_is_greeted_with_its_id(chat):
    session = await chat.driver.connect_websocket("/socket")

    connection = await session.receive_json()

    user_id = chat.contexts[0].user_id
    assert connection["action"] == "CONNECT"
    assert connection["payload"] == {"id": user_id, "connectionId": user_id}
    await session.disconnect()


async def test_a_broadcast_reaches_every_member_of_its_room(chat):
    ada, _ = await joined(chat)
    bob, _ = await joined(chat)
    cid, _ = await joined(chat, "/chat/2")

    await ada.send_client_message(
        action="BROADCAST",
        channel_name="/chat/1",
        event="message",
        payload={"text": "hi"},
    )

    for session in (ada, bob):
        message = await session.receive_json()
        assert (message["event"], message["payload"]) == ("message", {"text": "hi"})
    for session in (ada, bob, cid):
        await session.disconnect()
    with pytest.raises(EOFError):
        await cid.receive_message()


async def test_a_client_that_leaves_leaves_its_rooms(chat):
    session, user_id = await joined(chat)

    await session.disconnect()

    assert chat.left == [(user_id, "connection_closed")]
    assert await chat.endpoint.connection_count() == 0


async def test_a_client_whose_handler_hangs_is_noticed_when_it_leaves(chat):
    entered = asyncio.Event()

    async def hang(ctx):
        entered.set()
        await asyncio.Event().wait()

    chat.lobby.on_message("hang", hang)
    session, user_id = await joined(chat)
    await session.send_client_message(
        action="BROADCAST", channel_name="/chat/1", event="hang"
    )
    await entered.wait()

    await session.disconnect()

    assert chat.left == [(user_id, "connection_closed")]


async def test_a_connection_that_the_server_closes_ends_the_call_of_the_host(chat):
    session, user_id = await joined(chat)

    await chat.endpoint.close_connection(user_id)
    async with asyncio.timeout(5):
        await session.app_task

    assert session.close_code == 1000
    assert chat.left == [(user_id, "connection_closed")]


async def test_closing_the_pond_tells_clients_to_come_back(chat):
    session, _ = await joined(chat)

    await chat.pond.close()
    async with asyncio.timeout(5):
        await session.app_task

    assert session.close_code == 1012


async def test_endpoints_may_be_created_after_the_application():
    pond = PondSocket()
    app = PondASGIApp(pond)
    pond.create_endpoint("/late", lambda ctx: ctx.accept())

    assert pond.match_endpoint("/late")
    assert app
