"""Disconnects: what frameworks raise, in place of a host's OSError (ASGI, spec 2.4).

They are known by name, since no framework is imported here.
"""

__all__ = ["is_disconnect"]

_NAMES = frozenset(
    {
        "WebSocketDisconnect",  # Starlette and FastAPI, Litestar
        "WebSocketDisconnected",  # Starlette, once it has sent a close frame
    }
)


def is_disconnect(exc: BaseException) -> bool:
    """Tell whether a framework says so that its client is gone."""
    return type(exc).__name__ in _NAMES
