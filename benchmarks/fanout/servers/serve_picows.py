"""A room on picows: ``send`` for each member, or an echo for who connects to /echo."""

import socket

import serving
from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    ws_create_server,
)

members: set[WSTransport] = set()


class Echo(WSListener):
    """Sends back what comes."""

    def on_ws_connected(self, transport: WSTransport) -> None:
        transport.send(WSMsgType.TEXT, serving.HELLO.encode())

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            transport.send(WSMsgType.TEXT, frame.get_payload_as_memoryview())


class Member(WSListener):
    """Sends to all what comes."""

    def on_ws_connected(self, transport: WSTransport) -> None:
        members.add(transport)
        transport.send(WSMsgType.TEXT, serving.HELLO.encode())

    def on_ws_frame(self, _: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            payload = frame.get_payload_as_bytes()
            for member in members:
                member.send(WSMsgType.TEXT, payload)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        members.discard(transport)


def choose(request: WSUpgradeRequest) -> WSListener:
    return Echo() if request.path == b"/echo" else Member()


async def main(listener: socket.socket) -> None:
    server = await ws_create_server(choose, sock=listener)
    await server.serve_forever()


if __name__ == "__main__":
    serving.run(main)
