"""Bridges that end with their test, and leave nothing behind."""

import pytest

from tests.adapters.bridge.serving import Puppet, Server, echo, left_over, until


@pytest.fixture
def puppet():
    return Puppet()


@pytest.fixture
async def start(puppet):
    """Serve an application; settings are those of ServerConfig."""
    servers = []

    async def start_one(app=echo, *, send_buffer=None, keywords=None, **settings):
        server = Server(app, **{"shutdown_timeout": 5.0, **settings})
        servers.append(server)
        return await server.start(send_buffer=send_buffer, **keywords or {})

    yield start_one
    puppet.release()
    for server in servers:
        server.cut_off()
        if not server.task.done():
            await server.end()
    await until(lambda: not left_over())
