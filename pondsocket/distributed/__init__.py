"""Many nodes: what makes several processes one pond, over any PubSub.

For applications: ``Emitter`` and ``SyncEmitter`` speak to channels from processes that
serve no sockets; ``RedisPubSub`` is the class of ``pondsocket_redis``, imported when it
is first asked for, since it needs a library that not everybody has.
"""

import importlib
from typing import Any

from pondsocket.distributed.emitter import Emitter
from pondsocket.distributed.sync_emitter import SyncEmitter

__all__ = ["Emitter", "RedisPubSub", "SyncEmitter"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the core may not name the class
    """Return ``RedisPubSub``.

    Raises:
        AttributeError: For any other name.
        ModuleNotFoundError: If the library that it needs is not installed; names the
            command that installs it.
    """
    if name != "RedisPubSub":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return importlib.import_module("pondsocket_redis").RedisPubSub
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != "redis":
            raise
        raise ModuleNotFoundError(
            'RedisPubSub needs a library that is not installed: pip install "pondsocket'
            '[redis]"',
            name=error.name,
        ) from error
