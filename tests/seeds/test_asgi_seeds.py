"""The examples of the ASGI adapter's document, run as they stand there.

Two liberties: the message that the document leaves out with ``...`` is filled in, and
indentation, which it lost, is restored.
"""

from pondsocket_asgi.testing import ASGITestDriver

MESSAGE = {
    "action": "BROADCAST",
    "event": "message",
    "channelName": "/chat/1",
    "requestId": "1",
    "payload": {},
}


async def leave(session):
    await session.disconnect()
    assert session.app_task.exception() is None


async def test_the_quick_start_is_a_chat(run_seed):
    names = await run_seed("quickstart")
    driver = ASGITestDriver(names["app"])
    sessions = [await driver.connect_websocket("/socket") for _ in range(2)]
    for session in sessions:
        await session.receive_json()
        await session.send_client_message(
            action="JOIN_CHANNEL", channel_name="/chat/1", event="join"
        )
        assert (await session.receive_json())["event"] == "ACKNOWLEDGE"

    await sessions[0].send_client_message(
        action="BROADCAST", channel_name="/chat/1", event="message", payload={"a": 1}
    )

    for session in sessions:
        assert (await session.receive_json())["payload"] == {"a": 1}
        await leave(session)


async def test_it_can_be_mounted_under_fastapi(run_seed):
    await run_seed("quickstart")
    names = await run_seed("fastapi_mount")

    session = await ASGITestDriver(names["app"]).connect_websocket("/ws/socket")

    assert (await session.receive_json())["event"] == "CONNECTION"
    await leave(session)


async def test_the_test_driver_works_as_shown(run_seed):
    await run_seed("quickstart")

    names = await run_seed("testing_websocket")
    assert names["session"].accepted
    assert names["ack"]["event"] in {"CONNECTION", "ACKNOWLEDGE"}

    names = await run_seed("testing_sse", MESSAGE=MESSAGE)
    assert names["status"] == 204
    assert names["frame"]["payload"]["connectionId"] == names["sse"].connection_id

    names = await run_seed("testing_lifespan")
    assert names["lifespan"].app_task.done()
