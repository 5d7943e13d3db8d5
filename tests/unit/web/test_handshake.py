"""From what a host read of a request to a connection that may begin."""

import time
from urllib.parse import quote

import pytest

from pondsocket import Headers, InMemoryTransport, Options, PondError, PondSocket
from pondsocket.web import Admission, HTTPRequest, Refusal, admit

COOKIE_BYTES = 128 * 1024


def accept(context):
    context.accept()


@pytest.fixture
async def pond():
    async with PondSocket() as pond:
        pond.create_endpoint("/socket", accept)
        pond.create_endpoint("/rooms/:name", accept)
        yield pond


def request_for(path="/socket", *, headers=(), **details):
    return HTTPRequest(path=path, headers=Headers(headers), **details)


async def context_of(pond, **details):
    admission = await admit(pond, request_for(**details))
    assert isinstance(admission, Admission)
    return admission.context


async def test_an_accepted_handshake_names_its_endpoint_and_its_user(pond):
    admission = await admit(pond, request_for())

    assert admission.endpoint is pond.endpoints[0]
    assert admission.user_id == admission.context.user_id
    assert not admission.joins_messages


async def test_a_client_may_ask_for_several_messages_in_one_frame(pond):
    admission = await admit(pond, request_for(query_string="pond.frames=batch"))

    assert admission.joins_messages


async def test_there_is_no_connection_where_there_is_no_endpoint(pond):
    refusal = await admit(pond, request_for("/nowhere"))

    assert refusal == Refusal(404, "endpoint not found")
    assert (refusal.status, refusal.close_code) == (404, 4404)


async def test_a_refusal_tells_what_the_handler_said(pond):
    def decline(context):
        context.decline(429, "é" * 100)

    pond.create_endpoint("/full", decline)

    refusal = await admit(pond, request_for("/full"))

    assert (refusal.status, refusal.close_code) == (429, 4429)
    assert refusal.message == "é" * 100
    assert refusal.close_reason == "é" * 61  # 123 bytes, no half character


@pytest.mark.parametrize("name", ["a%2Fb", "50%", "what?", "a b", "grüße", "a+b"])
async def test_a_parameter_of_the_path_arrives_as_the_host_decoded_it(name, pond):
    context = await context_of(pond, path=f"/rooms/{name}")

    assert context.params == {"name": name}


async def test_the_address_is_handed_on(pond):
    assert (await context_of(pond, address="192.0.2.1")).address == "192.0.2.1"


async def test_each_connection_gets_an_id_of_its_own(pond):
    first, second = await context_of(pond), await context_of(pond)

    assert first.user_id != second.user_id


@pytest.mark.parametrize(
    ("query_string", "query"),
    [
        ("", {}),
        ("a=1&b=2", {"a": "1", "b": "2"}),
        ("a=1&a=2", {"a": "1"}),
        ("a=&b", {"a": "", "b": ""}),
        ("a=b%20c+d", {"a": "b c d"}),
        (f"a={quote('é')}", {"a": "é"}),
        ("a=é", {"a": "é"}),
        ("a=%FF", {"a": "\ufffd"}),
    ],
)
async def test_of_each_query_parameter_the_first_value_counts(
    pond, query_string, query
):
    assert (await context_of(pond, query_string=query_string)).query == query


async def test_the_route_has_all_values_of_a_query_parameter(pond):
    context = await context_of(pond, query_string="a=1&a=2")

    assert context.route.query_param("a") == ["1", "2"]


@pytest.mark.parametrize(
    ("lines", "cookies"),
    [
        ([], {}),
        ([b"a=1"], {"a": "1"}),
        ([b"a=1; b=2;c=3"], {"a": "1", "b": "2", "c": "3"}),
        ([b"a=1", b"b=2"], {"a": "1", "b": "2"}),  # HTTP/2 splits them
        ([b"a=1; a=2"], {"a": "1"}),
        ([b'a="b\\073c"'], {"a": "b;c"}),
        ([b'a="\\"b\\\\\\0737\\9"'], {"a": '"b\\;79'}),
        ([b'a="'], {"a": '"'}),
        ([b'a=""'], {"a": ""}),
        ([b'a="b'], {"a": '"b'}),
        ([b'a="b\\"'], {"a": "b\\"}),
        ([b"a=b=c; =d; e; ;"], {"a": "b=c"}),
        ([b"a=\xe9"], {"a": "é"}),
    ],
)
async def test_cookies_are_read_by_name(pond, lines, cookies):
    context = await context_of(pond, headers=[(b"cookie", line) for line in lines])

    assert context.cookies == cookies


@pytest.mark.parametrize("escape", [b"\\", b"\\073", b'\\"'])
async def test_a_long_cookie_of_escapes_is_read_in_linear_time(pond, escape):
    cookie = b'a="' + escape * (COOKIE_BYTES // len(escape)) + b'"'
    started = time.perf_counter()

    assert (await context_of(pond, headers=[(b"cookie", cookie)])).cookies["a"]
    assert time.perf_counter() - started < 2  # seconds; by the square it would be many


class ClosingTransport(InMemoryTransport):
    """Notes how it was closed."""

    code = 0

    async def close_with(self, code, reason):
        self.code = code
        await super().close_with(code, reason)


async def register(admission, transport=None):
    transport = transport or ClosingTransport(admission.user_id)
    return await admission.register(transport), transport.code


async def test_a_registered_connection_is_greeted(pond):
    admission = await admit(pond, request_for())
    transport = ClosingTransport(admission.user_id)

    assert await register(admission, transport) == (True, 0)
    assert (await transport.receive_sent()).event == "CONNECTION"


async def test_who_comes_too_late_is_sent_elsewhere(pond):
    admission = await admit(pond, request_for())
    await pond.drain(0)

    assert await register(admission) == (False, 1012)


async def test_who_finds_no_room_any_more_can_try_again():
    async with PondSocket(options=Options(max_connections=1)) as pond:
        pond.create_endpoint("/socket", accept)
        first = await admit(pond, request_for())
        second = await admit(pond, request_for())

        assert await register(first) == (True, 0)
        assert await register(second) == (False, 1013)


async def test_a_user_who_is_connected_already_is_told_so(pond):
    admission = await admit(pond, request_for())
    await register(admission)

    assert await register(admission) == (False, 4409)


async def test_what_the_handler_raises_is_a_refusal(pond):
    def fail(context):
        raise PondError("not you", 403)

    pond.create_endpoint("/fail", fail)

    assert await admit(pond, request_for("/fail")) == Refusal(403, "not you")


@pytest.mark.parametrize(
    ("lines", "trusted", "untrusted"),
    [
        ([], "192.0.2.1", "192.0.2.1"),
        ([b"203.0.113.7"], "203.0.113.7", "192.0.2.1"),
        ([b"a lie, 203.0.113.7"], "203.0.113.7", "192.0.2.1"),  # what our proxy saw
        ([b"a lie", b"203.0.113.7"], "203.0.113.7", "192.0.2.1"),
        ([b" "], "192.0.2.1", "192.0.2.1"),
    ],
)
async def test_a_forwarded_address_counts_only_where_it_is_trusted(
    lines, trusted, untrusted
):
    headers = [(b"x-forwarded-for", line) for line in lines]
    for trust_forwarded, address in ((True, trusted), (False, untrusted)):
        options = Options(trust_forwarded=trust_forwarded)
        async with PondSocket(options=options) as pond:
            pond.create_endpoint("/socket", accept)
            context = await context_of(pond, headers=headers, address="192.0.2.1")

            assert context.address == address
