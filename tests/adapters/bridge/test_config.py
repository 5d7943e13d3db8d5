"""The settings of the bridge."""

import dataclasses
import math
import ssl

import pytest

from pondsocket_asgi.ws_bridge.config import ServerConfig


def test_a_config_can_be_made_from_nothing():
    config = ServerConfig()

    assert config.root_path == ""
    assert config.ssl is None
    assert config.lifespan == "auto"


def test_every_setting_is_kept():
    settings = {
        "root_path": "/ws",
        "ssl": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
        "max_message_size": 0,
        "max_header_bytes": 1,
        "max_header_count": 1,
        "handshake_timeout": 0.5,
        "close_timeout": 1,
        "ping_interval": 0,
        "ping_timeout": 2.5,
        "compression": True,
        "max_queue": 1,
        "write_buffer": 1,
        "max_connections": 0,
        "shutdown_timeout": 3,
        "lifespan": "off",
    }

    config = ServerConfig(**settings)

    assert {name: getattr(config, name) for name in settings} == settings
    assert settings.keys() == {each.name for each in dataclasses.fields(config)}


def test_a_config_cannot_be_changed():
    config = ServerConfig()

    with pytest.raises(dataclasses.FrozenInstanceError):
        config.max_queue = 1


SIZES = [-1, 1.5, True, None, "1"]
SECONDS = [-0.1, math.nan, math.inf, True, None, "1"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("root_path", value) for value in ["ws", "/", "/ws/", b"/ws", None]),
        *(("ssl", value) for value in [True, "cert.pem"]),
        *(("max_message_size", value) for value in SIZES),
        *(("max_header_bytes", value) for value in [*SIZES, 0]),
        *(("max_header_count", value) for value in [*SIZES, 0]),
        *(("handshake_timeout", value) for value in [*SECONDS, 0]),
        *(("close_timeout", value) for value in [*SECONDS, 0]),
        *(("ping_interval", value) for value in SECONDS),
        *(("ping_timeout", value) for value in [*SECONDS, 0]),
        *(("compression", value) for value in [None, 1, "deflate"]),
        *(("max_queue", value) for value in [*SIZES, 0]),
        *(("write_buffer", value) for value in [*SIZES, 0]),
        *(("max_connections", value) for value in SIZES),
        *(("shutdown_timeout", value) for value in [*SECONDS, 0]),
        *(("lifespan", value) for value in [None, True, "maybe", ""]),
    ],
)
def test_a_value_that_is_not_allowed_is_named_with_its_field(name, value):
    with pytest.raises(ValueError, match=rf"ServerConfig\.{name} must be ") as caught:
        ServerConfig(**{name: value})

    assert str(caught.value).endswith(f"got {value!r}")
