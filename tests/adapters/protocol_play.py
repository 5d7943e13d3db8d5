"""Play: one vector of tests/vectors/client.json as it is played to a server.

The vectors' file begins with how to read it. A step is named by its first member, which
is the end of the name of a method here; what else the step holds are its arguments.
"""

import asyncio
import json
import re
import time
from typing import Any

from websockets.exceptions import InvalidState

from tests.adapters.protocol_clients import (
    Client,
    End,
    Message,
    Response,
    SSEClient,
    WebSocketClient,
    request,
)
from tests.adapters.protocol_servers import Server

CLIENTS: dict[str, type[Client]] = {"websocket": WebSocketClient, "sse": SSEClient}
MEMBERS = ("action", "event", "channelName", "requestId", "payload")
STEP_SECONDS = 5  # with what protocol_servers.py waits, less than pytest's timeout

UUID4 = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
)
RANDOM = re.compile(r"[A-Za-z0-9_-]{22,}")  # six bits a character, 128 at least
SECRET = "secret"  # in every exception that no client may see


class Play:
    """A vector that is played: its clients, and what is known of them by now."""

    def __init__(self, server: Server, transport: str) -> None:
        self._server = server
        self._transport = transport
        self._clients: dict[str, Client] = {}
        self._over: set[str] = set()
        self._names: dict[str, Any] = {"$origin": f"http://127.0.0.1:{server.port}"}
        self._seen: set[tuple[str, str]] = set()
        self._counts: dict[str, int] = {}
        self._ending: asyncio.Task[None] | None = None

    async def run(self, steps: list[dict[str, Any]]) -> None:
        self._counts = await self._server.begin()
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
        await getattr(self, f"step_{verb}")(step[verb], **arguments)

    async def finish(self) -> None:
        """Close what is open, where nothing may have come that no step expected."""
        for name, client in self._clients.items():
            if name in self._over:
                continue
            async with asyncio.timeout(STEP_SECONDS):
                rest = await client.close()
            if self._over:  # others left before this one
                rest = [message for message in rest if not _tells_who_left(message)]
            self._over.add(name)
            assert [message.text for message in rest] == [], f"{name} got more"

    async def abandon(self) -> None:
        for client in self._clients.values():
            await client.drop()

    # Coming and going.

    async def step_connect(
        self, name: str, protocol: int | None = None, **how: Any
    ) -> None:
        await self.step_open(name, **how)
        if name not in self._clients:  # the host may refuse, see step_open
            return
        greeting = await self._next(name)
        user_id = greeting["payload"].get("id")
        connection_id = self._connection_id(name, user_id)
        self._names |= {f"${name}.id": user_id, f"${name}.connectionId": connection_id}
        payload: dict[str, Any] = {
            "id": "$text",
            "connectionId": f"${name}.connectionId",
        }
        if protocol is not None:
            payload["protocol"] = protocol
        expected = ["CONNECT", "CONNECTION", "GATEWAY", "$fresh", payload]
        self._check(expected, greeting, name)

    def _connection_id(self, name: str, user_id: str) -> str:
        client = self._clients[name]
        if not isinstance(client, SSEClient):
            return user_id
        assert RANDOM.fullmatch(client.connection_id)
        assert client.connection_id not in {user_id, *self._names.values()}
        return client.connection_id

    async def step_open(
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
        place = self._server.prefix + path
        client = await kind.open(self._server.port, place, fields)
        if client.is_open:
            self._clients[name] = client
        if client.response.status == host_may_refuse:
            return  # by itself, before it asked the adapter
        assert client.is_open == (refused is None), client.response
        if refused is not None:
            await self._check_refusal(client.response, **refused)
        self._check_headers(response or {}, client.response)

    async def _check_refusal(
        self,
        response: Response,
        status: int,
        message: str = "$text",
        code: int = 0,
        reason: str = "",
    ) -> None:
        assert SECRET not in response.body
        if self._server.adapter.answers_handshakes or self._transport == "sse":
            assert response.status == status
            self._match(message, response.body, "body")
        else:
            assert response.status == 403
            [(found_code, found_reason)] = await self._server.take_refusals()
            assert found_code == (code or 4000 + status)
            self._match(reason or message, found_reason, "reason")

    def _check_headers(self, expected: dict[str, Any], response: Response) -> None:
        for name, value in self._fill(expected).items():
            found = response.headers.get(name)
            if isinstance(value, list):  # words in a list, in any order
                words = {word.strip().lower() for word in (found or "").split(",")}
                assert words >= set(value), (name, found)
            else:
                self._match(value, found, name)

    async def step_close(self, name: str) -> None:
        rest = await self._clients[name].close()
        assert [message.text for message in rest] == []
        self._over.add(name)

    async def step_drop(self, name: str) -> None:
        await self._clients[name].drop()
        self._over.add(name)

    async def step_closed(
        self,
        code: int | None,
        by: str = "a",
        after_messages: bool = False,
        host_may_say: int = 0,
    ) -> None:
        end = await self._clients[by].next()
        while after_messages and isinstance(end, Message):
            end = await self._clients[by].next()
        assert isinstance(end, End), end
        expected = {code, host_may_say} if self._transport == "websocket" else {None}
        assert end.code in expected
        self._over.add(by)

    async def step_server_begins_to(self, what: str) -> None:
        """Let the server drain or stop, while the vector goes on."""
        work = {"drain": self._server.drain, "stop": self._server.stop}[what]
        self._ending = asyncio.create_task(work())

    async def step_server_has_ended(self, _: bool) -> None:
        assert self._ending is not None
        await self._ending

    # Sending.

    async def step_send(self, message: Any, **how: Any) -> None:
        await self.step_text(json.dumps(self._message(message)), **how)

    async def step_text(self, template: Any, by: str = "a", status: int = 204) -> None:
        client = self._clients[by]
        if isinstance(client, SSEClient):
            assert (await client.post(build(template))).status == status
        else:
            await client.send(build(template))

    async def step_binary(self, template: Any, by: str = "a") -> None:
        await self._clients[by].send(build(template), binary=True)

    async def step_request(
        self,
        line: str,
        headers: dict[str, Any] | None = None,
        body: Any = "",
        status: int = 204,
        chunked: bool = False,
        response: dict[str, Any] | None = None,
    ) -> None:
        method, path = line.split(" ")
        found = await request(
            self._server.port,
            method,
            self._server.prefix + path,
            self._fill(headers or {}),
            build(body if isinstance(body, str | list) else json.dumps(body)),
            chunked=chunked,
        )
        assert found.status == status, found
        self._check_headers(response or {}, found)

    async def step_join(self, channel: str, by: str = "a") -> None:
        await self.step_send(["JOIN_CHANNEL", "JOIN", channel, "join", {}], by=by)
        await self.step_expect(["SYSTEM", "ACKNOWLEDGE", channel, "join", {}], by=by)

    async def step_fence(self, channel: str, by: str = "a") -> None:
        await self.step_send(["BROADCAST", "fence", channel, "fence", {}], by=by)
        await self.step_expect(["SYSTEM", "fence", channel, "fence", {}], by=by)

    async def step_flood(
        self, message: Any, answer: Any, closed: int, after: float, by: str = "a"
    ) -> None:
        client, data = self._clients[by], json.dumps(self._message(message)).encode()
        started = time.monotonic()
        reading = asyncio.create_task(_read_to_end(client))
        while not reading.done():
            try:
                await client.send(data)
            except (AssertionError, ConnectionError, InvalidState):
                break  # it is closed, as the reader sees or is about to see
            await asyncio.sleep(0)
        answers, end = await reading
        seconds = time.monotonic() - started
        assert after <= seconds, f"closed after {seconds} s"
        assert 1 <= len(answers) <= 1 + seconds, "not one answer a second"
        for each in answers:
            self._check(answer, each.content, by)
        if not getattr(client, "was_reset", False):  # a server may not read to the end
            assert end.code == (closed if self._transport == "websocket" else None)
        self._over.add(by)

    # Expecting.

    async def step_expect(self, expected: Any, by: str = "a") -> None:
        self._check(expected, await self._next(by), by)

    async def step_expect_all(self, expected: list[Any], by: str = "a") -> None:
        waiting = list(expected)
        while waiting:
            found = await self._next(by)
            match = next((m for m in waiting if self._fits(m, found, by)), None)
            assert match is not None, f"{found} is none of {waiting}"
            waiting.remove(match)

    async def step_skip_to(self, expected: Any, by: str = "a") -> None:
        while not self._fits(expected, await self._next(by), by):
            pass

    async def step_expect_text(self, text: str, by: str = "a") -> None:
        message = await self._clients[by].next()
        assert isinstance(message, Message), message
        assert message.text == text

    async def step_expect_event_name(self, name: str | None, by: str = "a") -> None:
        message = await self._clients[by].next()
        assert isinstance(message, Message), message
        assert message.name == name

    async def step_expect_comment(self, text: str, by: str = "a") -> None:
        client = self._clients[by]
        assert isinstance(client, SSEClient)
        self._match(text, await client.next_comment(), "comment")

    async def step_counted(self, changes: dict[str, int]) -> None:
        counts = await self._server.counts()
        grown = {name: counts[name] - self._counts[name] for name in changes}
        assert grown == changes

    async def step_logged(self, texts: list[str]) -> None:
        lines = await self._server.take_log_lines()
        assert any(all(text in line for text in texts) for line in lines), lines

    async def _next(self, name: str) -> dict[str, Any]:
        message = await self._clients[name].next()
        assert isinstance(message, Message), message
        content: dict[str, Any] = message.content
        compact = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        assert message.text == compact, "not encoded compactly"
        assert SECRET not in message.text
        if self._transport == "sse" and self._server.has_event_names:
            assert message.name == re.sub("[\r\n\0]", "", content["event"])
        return content

    # Comparing.

    def _check(self, expected: Any, found: dict[str, Any], by: str) -> None:
        assert tuple(found) == MEMBERS
        self._match(self._message(expected), found, by)
        if self._message(expected)["requestId"] == "$fresh":
            known = (by, found["requestId"])
            assert known not in self._seen, f"{known} came before"
            self._seen.add(known)

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
        """Put in what the play knows by now, such as `$a.id`."""
        match value:
            case str():
                return self._names.get(value, value)
            case list():
                return [self._fill(each) for each in value]
            case dict():
                return {
                    self._fill(name): self._fill(each) for name, each in value.items()
                }
        return value

    def _match(self, expected: Any, found: Any, where: str) -> None:
        match expected:
            case "$any":
                assert isinstance(found, str), f"{where} is {found!r}"
            case "$fresh":
                assert UUID4.fullmatch(found), f"{where} is no uuid: {found!r}"
            case str() if expected.startswith("$text"):
                _, _, start = expected.partition(":")
                assert isinstance(found, str), f"{where} is {found!r}"
                assert found != "", f"{where} is empty"
                assert found.startswith(start), f"{where} is {found!r}"
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


async def _read_to_end(client: Client) -> tuple[list[Message], End]:
    messages: list[Message] = []
    while isinstance(found := await client.next(), Message):
        messages.append(found)
    return messages, found


def _tells_who_left(message: Message) -> bool:
    content = message.content
    named = content["action"], content["event"]
    if named == ("PRESENCE", "DIFF"):
        return content["payload"].keys() == {"left"}
    return named in {("PRESENCE", "LEAVE"), ("BROADCAST", "left")}


def build(template: Any) -> bytes:
    """Return the bytes that a text, or a list of texts and other parts, stands for."""
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
                end, filling = rest.encode(), text.encode()
                count, over = divmod(size - len(data) - len(end), len(filling))
                data += filling * count + b" " * over + end
            case _:
                raise AssertionError(f"unknown part {part}")
    return data
