"""Every sentence of the client protocol, over real sockets, on every adapter.

The vectors are in tests/vectors/client.json, which begins with how to read it; the
adapters in protocol_servers.py. When the whole module runs, a vector that did not run
on an adapter that it applies to is a failure.
"""

import asyncio
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.protocol_clients import (
    Client,
    End,
    Message,
    Response,
    SSEClient,
    WebSocketClient,
    request,
)
from tests.adapters.protocol_servers import ADAPTERS, Adapter, Server, Servers

VECTORS = json.loads(
    (Path(__file__).parent.parent / "vectors" / "client.json").read_text("utf-8")
)["vectors"]
CLIENTS: dict[str, type[Client]] = {"websocket": WebSocketClient, "sse": SSEClient}

STEP_SECONDS = 10
UUID4 = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
)
SECRET = re.compile(r"[A-Za-z0-9_-]{22,}")  # 128 bits and more, six a character
MEMBERS = ("action", "event", "channelName", "requestId", "payload")

Run = tuple[str, str, str]  # adapter, transport, id of the vector

RUNS: dict[Run, tuple[Adapter, str, dict[str, Any]]] = {
    (adapter.name, transport, vector["id"]): (adapter, transport, vector)
    for adapter in ADAPTERS
    for transport in CLIENTS
    for vector in VECTORS
    if adapter.applies_to(vector, transport)
}


class Play:
    """One vector that is played to a server: its clients and what is known of them."""

    def __init__(self, server: Server, transport: str) -> None:
        self._server = server
        self._transport = transport
        self._clients: dict[str, Client] = {}
        self._over: set[str] = set()
        self._seen: set[tuple[str, str]] = set()
        self._names: dict[str, Any] = {
            "$origin": f"http://127.0.0.1:{server.host.port}"
        }
        self._counts = server.counts()

    async def run(self, steps: list[dict[str, Any]]) -> None:
        for number, step in enumerate(steps):
            if step.get("on", self._transport) != self._transport:
                continue
            try:
                for self._names["$n"] in range(step.get("times", 1)):
                    async with asyncio.timeout(STEP_SECONDS):
                        await self._take(step)
            except (AssertionError, TimeoutError) as error:
                error.add_note(f"in step {number}: {json.dumps(step)[:500]}")
                raise

    async def _take(self, step: dict[str, Any]) -> None:
        verb, *_ = step
        arguments = {k: v for k, v in step.items() if k not in {verb, "on", "times"}}
        await getattr(self, f"_{verb}")(step[verb], **arguments)

    async def finish(self) -> None:
        """Close what is open, where nothing may have come that no step expected."""
        for name, client in self._clients.items():
            if name not in self._over:
                async with asyncio.timeout(STEP_SECONDS):
                    rest = await client.close()
                others_left = any(other != name for other in self._over)
                more = [m.text for m in rest if not (others_left and _is_farewell(m))]
                assert more == [], f"{name} got more"
                self._over.add(name)

    async def abandon(self) -> None:
        for client in self._clients.values():
            await client.drop()

    # Coming and going.

    async def _connect(self, name: str, protocol: int | None = None, **how) -> None:
        await self._open(name, **how)
        if name not in self._clients:  # the host may refuse, see _open
            return
        greeting = await self._next(name)
        user_id = greeting["payload"].get("id")
        connection_id = self._connection_id(name, user_id)
        self._names |= {f"${name}.id": user_id, f"${name}.connectionId": connection_id}
        payload = {"id": "$text", "connectionId": f"${name}.connectionId"}
        if protocol is not None:
            payload["protocol"] = protocol
        expected = ["CONNECT", "CONNECTION", "GATEWAY", "$fresh", payload]
        self._check(expected, greeting, name)

    def _connection_id(self, name: str, user_id: str) -> str:
        client = self._clients[name]
        if not isinstance(client, SSEClient):
            return user_id
        assert SECRET.fullmatch(client.connection_id)
        assert client.connection_id not in self._names.values()
        return client.connection_id

    async def _open(
        self,
        name: str,
        path: str = "/pond",
        headers: dict[str, Any] | None = None,
        refused: dict[str, Any] | None = None,
        response: dict[str, Any] | None = None,
        host_may_refuse: int = 0,
    ) -> None:
        kind = CLIENTS[self._transport]
        fields = self._fill(headers or {})
        client = await kind.open(self._server.host.port, path, fields)
        if client.response.status == host_may_refuse:
            return  # by itself, before it asked the adapter
        if refused is None:
            assert client.is_open, client.response
            self._clients[name] = client
        else:
            self._check_refusal(client.response, **refused)
        self._check_headers(response or {}, client.response)

    def _check_refusal(
        self,
        response: Response,
        status: int,
        message: str = "$text",
        code: int = 0,
        reason: str | None = None,
    ) -> None:
        adapter = self._server.adapter
        if adapter.answers_handshakes or self._transport == "sse":
            assert response.status == status
            self._match(message, response.body, "body")
        else:
            assert response.status == 403
            found_code, found_reason = self._server.host.refusals.pop()
            assert self._server.host.refusals == []
            assert found_code == (code or 4000 + status)
            self._match(reason or message, found_reason, "reason")

    def _check_headers(self, expected: dict[str, Any], response: Response) -> None:
        for name, value in self._fill(expected).items():
            found = response.headers.get(name)
            if isinstance(value, list):  # of a list in the header, in any order
                words = {word.strip().lower() for word in (found or "").split(",")}
                assert words >= set(value), (name, found)
            else:
                self._match(value, found, name)

    async def _close(self, name: str) -> None:
        """Close a client properly."""
        rest = await self._clients[name].close()
        assert [each.text for each in rest] == []
        self._over.add(name)

    async def _drop(self, name: str) -> None:
        """Cut a client's TCP connection."""
        await self._clients[name].drop()
        self._over.add(name)

    async def _closed(
        self, code: int, by: str = "a", *, after_messages: bool = False
    ) -> None:
        """Expect the end, `after_messages` of whatever kind."""
        end = await self._clients[by].next()
        while after_messages and isinstance(end, Message):
            end = await self._clients[by].next()
        assert isinstance(end, End), end
        assert end.code == (code if self._transport == "websocket" else None)
        self._over.add(by)

    async def _server_does(self, what: str) -> None:
        await {"drain": self._server.drain, "stop": self._server.stop}[what]()

    # Sending.

    async def _send(self, message: Any, **how) -> None:
        await self._text(json.dumps(self._message(message)), **how)

    async def _text(self, template: Any, by: str = "a", status: int = 204) -> None:
        await self._send_bytes(self._build(template), by, status)

    async def _binary(self, template: Any, by: str = "a", status: int = 204) -> None:
        await self._send_bytes(self._build(template), by, status, binary=True)

    async def _send_bytes(self, data: bytes, by: str, status: int, **how) -> None:
        client = self._clients[by]
        if isinstance(client, SSEClient):
            assert (await client.post(data)).status == status
        else:
            await client.send(data, **how)

    async def _request(
        self,
        line: str,
        headers: dict[str, Any] | None = None,
        body: Any = "",
        status: int = 204,
        chunked: bool = False,
        response: dict[str, Any] | None = None,
    ) -> None:
        method, path = line.split(" ")
        answer = await request(
            self._server.host.port,
            method,
            path,
            self._fill(headers or {}),
            self._build(body if isinstance(body, str | list) else json.dumps(body)),
            chunked=chunked,
        )
        assert answer.status == status, answer
        self._check_headers(response or {}, answer)

    async def _join(self, channel: str, by: str = "a") -> None:
        """Join and see it acknowledged."""
        await self._send(["JOIN_CHANNEL", "JOIN", channel, "join", {}], by=by)
        await self._expect(["SYSTEM", "ACKNOWLEDGE", channel, "join", {}], by=by)

    async def _fence(self, channel: str, by: str = "a") -> None:
        """Ask for an answer, which proves that nothing else came before it."""
        await self._send(["BROADCAST", "fence", channel, "fence", {}], by=by)
        await self._expect(["SYSTEM", "fence", channel, "fence", {}], by=by)

    async def _flood(
        self, message: Any, answer: Any, closed: int, after: float, by: str = "a"
    ) -> None:
        """Send the message again and again until the server closes."""
        client, data = self._clients[by], json.dumps(self._message(message)).encode()
        started = time.monotonic()
        reading = asyncio.create_task(self._read_to_end(client))
        while not reading.done():
            try:
                await client.send(data)
            except (AssertionError, ConnectionError):
                break  # closed, which the reader is about to see
            await asyncio.sleep(0)
        *answers, end = await reading
        seconds = time.monotonic() - started
        assert after <= seconds, f"closed after {seconds} s"
        assert 1 <= len(answers) <= 1 + seconds, "more than one answer a second"
        for each in answers:
            self._check(answer, each.content, by)
        assert end.code == (closed if self._transport == "websocket" else None)
        self._over.add(by)

    async def _read_to_end(self, client: Client) -> list[Any]:
        found: list[Message | End] = []
        while not found or isinstance(found[-1], Message):
            found.append(await client.next())
        return found

    # Expecting.

    async def _expect(self, expected: Any, by: str = "a") -> None:
        self._check(expected, await self._next(by), by)

    async def _skip_to(self, expected: Any, by: str = "a") -> None:
        """Expect a message behind any number of others."""
        while not self._fits(expected, await self._next(by), by):
            pass

    async def _expect_all(self, expected: list[Any], by: str = "a") -> None:
        """Expect these messages in any order; they differ in what is written out."""
        waiting = list(expected)
        while waiting:
            found = await self._next(by)
            match = next((m for m in waiting if self._fits(m, found, by)), None)
            assert match is not None, f"{found} is none of {waiting}"
            waiting.remove(match)

    async def _expect_text(self, text: str, by: str = "a") -> None:
        """Expect a message character by character."""
        message = await self._clients[by].next()
        assert isinstance(message, Message), message
        assert message.text == text

    async def _expect_event_name(self, name: str | None, by: str = "a") -> None:
        """Expect the name in the stream's `event:` line, whatever the message."""
        message = await self._clients[by].next()
        assert isinstance(message, Message), message
        assert message.name == name

    async def _expect_comment(self, text: str, by: str = "a") -> None:
        client = self._clients[by]
        assert isinstance(client, SSEClient)
        self._match(text, await client.next_comment(), "comment")

    async def _counted(self, changes: dict[str, int]) -> None:
        """Expect counters to have grown by this much since the vector began."""
        counts = self._server.counts()
        grown = {name: counts[name] - self._counts[name] for name in changes}
        assert grown == changes

    async def _next(self, name: str) -> dict[str, Any]:
        message = await self._clients[name].next()
        assert isinstance(message, Message), message
        content: dict[str, Any] = message.content
        compact = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        assert message.text == compact, "not encoded compactly"
        if self._transport == "sse" and self._server.has_event_names:
            assert message.name == re.sub("[\r\n\0]", "", content["event"])
        return content

    # Placeholders.

    def _check(self, expected: Any, found: dict[str, Any], by: str) -> None:
        assert tuple(found) == MEMBERS
        self._match(self._message(expected), found, by)

    def _fits(self, expected: Any, found: dict[str, Any], by: str) -> bool:
        try:
            self._check(expected, found, by)
        except AssertionError:
            return False
        return True

    def _message(self, parts: Any) -> Any:
        """Return the message that a list of its five members stands for."""
        if isinstance(parts, list):
            parts = dict(zip(MEMBERS, parts, strict=True))
        return self._fill(parts)

    def _fill(self, value: Any) -> Any:
        """Replace what the play knows by now, such as `$a.id`."""
        match value:
            case str():
                return self._names.get(value, value)
            case list():
                return [self._fill(each) for each in value]
            case dict():
                return {name: self._fill(each) for name, each in value.items()}
        return value

    def _match(self, expected: Any, found: Any, where: str) -> None:
        match expected:
            case "$any":
                assert isinstance(found, str), f"{where} is {found!r}"
            case "$fresh":
                assert UUID4.fullmatch(found), f"{where} is no uuid: {found!r}"
                assert (where, found) not in self._seen, f"{where} came before"
                self._seen.add((where, found))
            case str() if expected.startswith("$text"):
                _, _, start = expected.partition(":")
                assert isinstance(found, str), f"{where} is {found!r}"
                assert found and found.startswith(start), f"{where} is {found!r}"
            case dict() if isinstance(found, dict):
                assert found.keys() == expected.keys(), where
                for name in expected:
                    self._match(expected[name], found[name], f"{where}.{name}")
            case list() if isinstance(found, list):
                assert len(found) == len(expected), where
                for number, each in enumerate(expected):
                    self._match(each, found[number], f"{where}[{number}]")
            case _:
                same = type(found) is type(expected) and found == expected
                assert same, f"{where} is {found!r}, not {expected!r}"

    def _build(self, template: Any) -> bytes:
        """Return bytes: a text, or a list of texts and of parts that are objects."""
        data = b""
        for part in [template] if isinstance(template, str) else template:
            match part:
                case str():
                    data += part.encode()
                case {"hex": digits}:
                    data += bytes.fromhex(digits)
                case {"repeat": text, "times": times}:
                    data += text.encode() * times
                case {"pad": text, "to": size, "before": rest}:
                    missing = size - len(data) - len(rest.encode())
                    count, over = divmod(missing, len(text.encode()))
                    data += text.encode() * count + b" " * over + rest.encode()
                case _:
                    raise AssertionError(f"unknown part {part}")
        return data


def _is_farewell(message: Message) -> bool:
    """Tell whether a message only says that another user left."""
    content = message.content
    named = content["action"], content["event"]
    return named in {("PRESENCE", "LEAVE"), ("BROADCAST", "left")}


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    servers = Servers()
    yield servers
    servers.close()
    assert servers.take_problems() == []


@pytest.fixture(scope="module")
def recording(request: pytest.FixtureRequest) -> Iterator[set[Run]]:
    """Collect what ran, and hold it against what should have run."""
    ran: set[Run] = set()
    yield ran
    selected = {
        item.callspec.params["run"]
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.originalname == test_the_protocol_is_kept.__name__
    }
    missing = sorted(selected - ran)
    is_aborted = request.session.shouldstop or request.session.shouldfail
    assert not missing or is_aborted, f"{len(missing)} did not run: {missing[:20]}"


@pytest.mark.parametrize("run", RUNS, ids="-".join)
async def test_the_protocol_is_kept(
    run: Run, servers: Servers, recording: set[Run]
) -> None:
    adapter, transport, vector = RUNS[run]
    recording.add(run)
    server = await servers.find(adapter, vector)
    play = Play(server, transport)
    try:
        await play.run(vector["steps"])
        await play.finish()
    finally:
        await play.abandon()
        left = await server.settle()
        if vector.get("own_server"):
            await servers.discard(server)
    assert left == []
    assert servers.take_problems() == []
