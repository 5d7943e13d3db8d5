"""The library's keywords, from Options."""

import inspect
import logging

import pytest
import websockets.asyncio.server as library
from websockets.exceptions import InvalidMessage

from pondsocket import Options
from pondsocket.web import DEFLATE_WINDOW_BITS
from pondsocket_websockets.settings import logger, settings_for


def test_the_options_set_limits_deadlines_and_pings():
    options = Options(
        max_message_size=1000,
        handshake_timeout=3.0,
        send_timeout=4.0,
        ping_interval=5.0,
        pong_wait=6.0,
    )

    settings = settings_for(options)

    assert settings["max_size"] == 5096  # ours speaks first
    assert settings["open_timeout"] == 4.0
    assert settings["close_timeout"] == 2.0
    assert (settings["ping_interval"], settings["ping_timeout"]) == (5.0, 6.0)


def test_zero_is_never_and_unlimited():
    options = Options(max_message_size=0, handshake_timeout=0, ping_interval=0)

    settings = settings_for(options)

    assert settings["max_size"] is None
    assert settings["open_timeout"] is None
    assert settings["ping_interval"] is None


@pytest.mark.parametrize(("wanted", "name"), [(False, None), (True, "deflate")])
def test_messages_are_compressed_only_if_asked_for(wanted, name):
    assert settings_for(Options(compression=wanted))["compression"] == name


def test_what_compresses_forgets_each_message_whatever_a_client_offers():
    [factory] = settings_for(Options(compression=True))["extensions"]

    answer, extension = factory.process_request_params([], [])

    assert ("server_no_context_takeover", None) in answer
    assert extension.local_no_context_takeover
    assert extension.local_max_window_bits == DEFLATE_WINDOW_BITS


def test_without_compression_no_extension_is_known():
    assert settings_for(Options())["extensions"] is None


def test_the_library_knows_every_keyword():
    known = inspect.signature(library.serve).parameters

    assert settings_for(Options()).keys() <= known.keys()


# What the library logs


def log(caplog, error, level=logging.ERROR):
    logger.log(level, "said the library", exc_info=error)
    return "said the library" in caplog.text


def test_what_a_client_did_to_its_handshake_is_not_logged(caplog):
    assert not log(caplog, InvalidMessage("nonsense"))


def test_a_failure_of_ours_is_logged(caplog):
    assert log(caplog, ValueError("a defect"))


def test_a_line_without_an_error_is_logged(caplog):
    assert log(caplog, None)


def test_what_happens_to_every_connection_is_not_logged(caplog):
    caplog.set_level(logging.DEBUG)

    assert not log(caplog, None, logging.INFO)
