"""What WebSockets are used for; the classes of all frameworks have these names."""

__all__ = ["ROUTES"]


async def echo_text(socket):
    await socket.accept()
    while True:
        await socket.send_text(await socket.receive_text())


async def echo_bytes(socket):
    await socket.accept()
    while True:
        await socket.send_bytes(await socket.receive_bytes())


async def echo_json(socket):
    await socket.accept()
    while True:
        await socket.send_json({"got": await socket.receive_json()})


async def tell_path(socket):
    await socket.accept()
    query = socket.query_params.get("color")
    await socket.send_json([socket.path_params["name"], query])
    await socket.close()


async def tell_headers(socket):
    await socket.accept(headers=[(b"x-answer", b"42")])
    await socket.send_text(socket.headers["x-question"])
    await socket.close()


async def tell_peer(socket):
    await socket.accept()
    await socket.send_json([socket.client.host, socket.url.scheme, socket.url.path])
    await socket.close()


async def close_with_code(socket):
    await socket.accept()
    await socket.close(code=4001, reason="enough")


async def close_before(socket):
    await socket.close()


async def fail(socket):
    await socket.accept()
    raise RuntimeError("secret")


ROUTES = {
    "/text": echo_text,
    "/bytes": echo_bytes,
    "/json": echo_json,
    "/headers": tell_headers,
    "/peer": tell_peer,
    "/close": close_with_code,
    "/close-before": close_before,
    "/fail": fail,
}
