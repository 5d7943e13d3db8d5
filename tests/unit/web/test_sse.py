"""Which HTTP request opens, feeds or ends an event stream, and which fails."""

import asyncio
import json

import pytest

from pondsocket import Headers, InMemoryTransport, Options, PondSocket
from pondsocket.web import (
    BodyTooLarge,
    ClientLeft,
    HTTPAnswer,
    HTTPRequest,
    SSEService,
    StreamAnswer,
)

SHOP = "https://shop.example"


async def no_body(limit):
    return b""


def accept(context):
    context.accept()


class Site:
    """A PondSocket, and the service that answers its requests."""

    def __init__(self, **options):
        self.pond = PondSocket(options=Options(**options))
        self.pond.create_endpoint("/socket", accept)
        self.pond.create_endpoint("/closed", lambda ctx: ctx.decline(403, "closed"))
        self.service = SSEService(self.pond)

    async def ask(self, method="GET", path="/socket", body=no_body, **headers):
        names = [(name.replace("_", "-"), value) for name, value in headers.items()]
        request = HTTPRequest(path=path, headers=Headers(names), method=method)
        return await self.service.answer(request, body)

    async def open(self, **headers):
        answer = await self.ask(accept="text/event-stream", **headers)
        assert isinstance(answer, StreamAnswer)
        return answer


@pytest.fixture
async def make_site():
    sites = []

    def make(**options):
        sites.append(Site(**options))
        return sites[-1]

    yield make
    for site in sites:
        await site.pond.close()


@pytest.fixture
def site(make_site):
    return make_site()


async def test_a_get_that_asks_for_a_stream_opens_one(site):
    answer = await site.open()

    headers = dict(answer.headers)
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["x-connection-id"] == answer.stream.connection_id
    assert (await answer.stream.next_event()).event == "CONNECTION"


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        ("/socket", "text/html", 406),
        ("/closed", "text/event-stream", 403),
        ("/nowhere", "text/event-stream", 404),
        ("/nowhere", "text/html", 404),
    ],
)
async def test_other_gets_are_refused(site, path, accept, status):
    answer = await site.ask(path=path, accept=accept)

    assert answer.status == status
    assert answer.body


async def test_a_posted_message_reaches_the_connection(site):
    stream = (await site.open()).stream
    await stream.next_event()

    async def body(limit):
        assert limit == 1_048_576
        return b"rubbish"

    answer = await site.ask("POST", body=body, x_connection_id=stream.connection_id)

    assert answer.status == 204
    assert (await stream.next_event()).event == "INVALID_MESSAGE"


async def test_a_full_inbox_is_told(make_site):
    site = make_site(inbound_max_messages=1, max_concurrent_handlers=1)
    gate = asyncio.Event()

    async def join(context):
        await gate.wait()
        await context.accept()

    site.pond.endpoints[0].create_channel("/room", join)
    stream = (await site.open()).stream

    async def body(limit):
        message = {"action": "JOIN_CHANNEL", "event": "join", "channelName": "/room"}
        return json.dumps({**message, "requestId": "1", "payload": {}}).encode()

    async def post():
        secret = stream.connection_id
        return (await site.ask("POST", body=body, x_connection_id=secret)).status

    statuses = [await post() for _ in range(4)]
    gate.set()

    assert statuses[0] == 204
    assert statuses[-1] == 429


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_a_secret_that_nobody_has_is_not_found(site, method):
    stream = (await site.open()).stream

    for secret in ("", "guess", stream.get_id()):
        assert (await site.ask(method, x_connection_id=secret)).status == 404


async def test_a_delete_ends_the_stream(site):
    stream = (await site.open()).stream

    answer = await site.ask("DELETE", x_connection_id=stream.connection_id)

    assert answer.status == 204
    assert not stream.is_active()


@pytest.mark.parametrize(
    ("fault", "status"), [(BodyTooLarge(), 413), (TimeoutError(), 408)]
)
async def test_a_body_that_cannot_be_read_is_refused(site, fault, status):
    async def body(limit):
        raise fault

    secret = (await site.open()).stream.connection_id

    assert (await site.ask("POST", body=body, x_connection_id=secret)).status == status


async def test_a_body_that_never_ends_is_given_up(make_site):
    site = make_site(handshake_timeout=0.01)
    secret = (await site.open()).stream.connection_id

    async def body(limit):
        await asyncio.Event().wait()

    assert (await site.ask("POST", body=body, x_connection_id=secret)).status == 408


@pytest.mark.parametrize("length", ["1048577", "9" * 5000])
async def test_a_body_that_announces_too_much_is_not_read(site, length):
    secret = (await site.open()).stream.connection_id

    answer = await site.ask("POST", x_connection_id=secret, content_length=length)

    assert answer.status == 413


async def test_a_connection_may_end_while_its_message_comes_in(site):
    stream = (await site.open()).stream

    async def body(limit):
        await stream.close()
        return b"{}"

    answer = await site.ask("POST", body=body, x_connection_id=stream.connection_id)

    assert answer.status == 404


async def test_that_the_client_left_is_the_adapters_business(site):
    async def body(limit):
        raise ClientLeft

    secret = (await site.open()).stream.connection_id

    with pytest.raises(ClientLeft):
        await site.ask("POST", body=body, x_connection_id=secret)


async def test_other_methods_are_not_allowed(site):
    answer = await site.ask("PATCH")

    assert answer.status == 405
    assert ("allow", "GET, POST, DELETE, OPTIONS") in answer.headers


async def test_an_allowed_page_may_ask_first(make_site):
    site = make_site(allowed_origins=[SHOP])

    answer = await site.ask("OPTIONS", origin=SHOP, host="api.example")

    assert answer.status == 204
    assert dict(answer.headers)["access-control-allow-origin"] == SHOP
    assert dict(answer.headers)["access-control-allow-credentials"] == "true"
    assert "x-connection-id" in dict(answer.headers)["access-control-allow-headers"]


async def test_where_every_page_may_come_none_brings_cookies(make_site):
    site = make_site(allowed_origins=["*"])

    headers = dict((await site.open(origin=SHOP, host="api.example")).headers)

    assert headers["access-control-allow-origin"] == SHOP
    assert "access-control-allow-credentials" not in headers


@pytest.mark.parametrize("method", ["OPTIONS", "GET", "POST", "DELETE"])
async def test_a_foreign_page_is_refused(site, method):
    accept = "text/event-stream"
    answer = await site.ask(method, accept=accept, origin=SHOP, host="api.example")

    assert answer.status == 403


async def test_who_is_no_browser_may_ask_for_the_methods(site):
    answer = await site.ask("OPTIONS")

    assert (answer.status, dict(answer.headers)["allow"][:3]) == (204, "GET")


async def test_a_pond_without_endpoints_answers_too():
    async with PondSocket() as pond:
        service = SSEService(pond)
        request = HTTPRequest(path="/", headers=Headers([("origin", SHOP)]))

        assert (await service.answer(request, no_body)).status == 404


async def test_a_stream_that_cannot_be_registered_is_closed(make_site):
    site = make_site(max_connections=1)

    async def let_another_in(context):
        context.accept()
        await endpoint.register_transport(InMemoryTransport("another"))

    endpoint = site.pond.create_endpoint("/busy", let_another_in)

    answer = await site.ask(path="/busy", accept="text/event-stream")

    assert answer.status == 503


@pytest.mark.parametrize("status", [204, 205, 304])
def test_a_status_that_allows_no_body_gets_none(status):
    assert HTTPAnswer.text(status, "text") == HTTPAnswer(status)
