"""The sockets that `pondsocket serve` gives to a server."""

import errno
import socket

import pytest

from pondsocket import Options
from pondsocket.web import close_sockets, open_sockets


@pytest.fixture
async def open_at():
    opened = []

    async def open_at(host, port=0, **options):
        opened.extend(await open_sockets(host, port, Options(**options)))
        return opened

    yield open_at
    close_sockets(opened)


def port_of(bound):
    return bound.getsockname()[1]


async def test_a_free_port_is_found(open_at):
    (bound,) = await open_at("127.0.0.1")

    assert bound.getsockname()[0] == "127.0.0.1"
    assert port_of(bound) > 0


async def test_all_addresses_share_one_port(open_at):
    bound = await open_at("")

    assert {port_of(each) for each in bound} == {port_of(bound[0])}


async def test_an_address_in_use_is_named(open_at):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = port_of(taken)

        with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{port}"):
            await open_at("127.0.0.1", port)


async def test_an_address_of_another_machine_is_named(open_at):
    with pytest.raises(OSError, match=r"192\.0\.2\.1") as caught:
        await open_at("192.0.2.1")

    assert caught.value.errno == errno.EADDRNOTAVAIL


async def test_a_name_that_nobody_knows_raises_as_the_resolver_does(open_at):
    with pytest.raises(socket.gaierror):
        await open_at("a name with spaces")


@pytest.mark.skipif(
    not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux has this setting"
)
async def test_the_kernel_ends_connections_whose_client_vanished(open_at):
    (bound,) = await open_at("127.0.0.1", send_timeout=1.5, pong_wait=2.0)

    timeout = bound.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)

    assert timeout == 3500  # milliseconds
