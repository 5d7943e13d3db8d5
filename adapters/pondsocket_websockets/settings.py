"""Settings: the keywords of ``websockets.serve`` that follow from Options."""

import logging
from typing import Any

from websockets.exceptions import InvalidHandshake
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory

from pondsocket import Options
from pondsocket.web import (
    DEFLATE_MEMORY_LEVEL,
    DEFLATE_WINDOW_BITS,
    size_limit_for,
)

__all__ = ["settings_for"]

_ANSWER_SECONDS = 1.0  # to refuse who took too long, before the library just hangs up
_READ_AHEAD = 16  # frames; nothing here makes the reader wait
_CLOSING_SHARE = 0.5  # of send_timeout: over before the transport stops waiting

logger: logging.Logger = logging.getLogger(__name__)


def settings_for(options: Options) -> dict[str, Any]:
    """Return keywords for ``websockets.serve``; what is missing stays as it has it."""
    patience = options.handshake_timeout
    return {
        "compression": "deflate" if options.compression else None,
        "extensions": [_forgetful_deflate()] if options.compression else None,
        "server_header": None,  # it would tell the version
        "open_timeout": patience + _ANSWER_SECONDS if patience else None,
        "close_timeout": options.send_timeout * _CLOSING_SHARE,
        "ping_interval": options.ping_interval or None,
        "ping_timeout": options.pong_wait,
        "max_size": size_limit_for(options),
        "max_queue": _READ_AHEAD,
        "logger": logger,
    }


def _forgetful_deflate() -> ServerPerMessageDeflateFactory:
    """Return what negotiates that a message compressed once fits every client."""
    return ServerPerMessageDeflateFactory(
        server_no_context_takeover=True,
        server_max_window_bits=DEFLATE_WINDOW_BITS,
        client_max_window_bits=DEFLATE_WINDOW_BITS,
        compress_settings={"memLevel": DEFLATE_MEMORY_LEVEL},
    )


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """Tell what a client did to its handshake from what went wrong here.

    Before its release 17 the library logs both as errors, with a traceback.
    """
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, InvalidHandshake)


# the library writes here: below are two lines for each connection
logger.setLevel(logging.WARNING)
logger.addFilter(_is_worth_a_line)
