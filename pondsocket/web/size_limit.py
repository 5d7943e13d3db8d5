"""Size limit: how long a message a server lets through to the core."""

from pondsocket.options import Options

__all__ = ["size_limit_for"]

_MARGIN = 4096  # bytes above our own limit, so that it is ours which speaks


def size_limit_for(options: Options) -> int | None:
    """Return the limit in bytes to set in a server, None for no limit."""
    limit = options.max_message_size
    return limit + _MARGIN if limit else None
