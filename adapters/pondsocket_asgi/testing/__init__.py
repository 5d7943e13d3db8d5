"""ASGITestDriver: an ASGI host in memory, for the tests of an application.

No network, no server: the driver calls the application as a host would and keeps what
it sends::

    driver = ASGITestDriver(PondASGIApp(pond))
    session = await driver.connect_websocket("/socket")
    await session.send_client_message(
        action="JOIN_CHANNEL", channel_name="/chat/1", event="join"
    )
    connection = await session.receive_json()
    ack = await session.receive_json()
    await session.disconnect()

Whatever the application raises is raised again by the call that waits for it.
"""

from pondsocket_asgi.testing.conversation import (
    HeaderFields,
    HTTPAnswer,
    QueryFields,
)
from pondsocket_asgi.testing.driver import ASGITestDriver
from pondsocket_asgi.testing.sessions import (
    LifespanSession,
    SSESession,
    WebSocketSession,
)

__all__ = [
    "ASGITestDriver",
    "HTTPAnswer",
    "HeaderFields",
    "LifespanSession",
    "QueryFields",
    "SSESession",
    "WebSocketSession",
]
