"""Frames: an ASGI extension by which ready frames go past a host's ``send``.

A host that has it puts this into the scope of a WebSocket (ASGI, "Extensions")::

    scope["extensions"]["pondsocket.frames"] = {"write": write, "deflate": False}

``write(frames: bytes) -> bool`` takes whole, unmasked frames (RFC 6455 5.2). It writes
them at once, behind all that was sent before, or writes nothing and returns False: if
the connection is not accepted yet, or closing, or with them more than
``pondsocket.web.MAX_UNSENT`` bytes could wait for the client. It never waits and never
raises.

``deflate`` tells whether the frames of messages may be compressed: permessage-deflate
was agreed on with ``server_no_context_takeover`` and a window of 12 bits or more. A
host that agreed on any other extension leaves ``pondsocket.frames`` out.

What is written so no middleware sees. One that must see each message takes the
extension out of the scope.
"""

from collections.abc import Callable
from typing import Final

from pondsocket.web import Burst, FrameWriter
from pondsocket_asgi.scope import Scope

__all__ = ["FRAMES", "describe_frame_writer", "find_frame_writer"]

FRAMES: Final = "pondsocket.frames"


def find_frame_writer(scope: Scope) -> FrameWriter | None:
    """Return the way past the host, None if the scope has no such extension."""
    extension = (scope.get("extensions") or {}).get(FRAMES)
    if not extension:
        return None
    is_deflating = bool(extension.get("deflate"))
    return _FrameWriter(extension["write"], is_deflating=is_deflating)


def describe_frame_writer(
    write: Callable[[bytes], bool], *, deflate: bool
) -> dict[object, object]:
    """Return the extension's value, for a host that has it."""
    return {"write": write, "deflate": deflate}


class _FrameWriter(FrameWriter):
    __slots__ = ("_write",)

    def __init__(self, write: Callable[[bytes], bool], *, is_deflating: bool) -> None:
        super().__init__(is_deflating=is_deflating)
        self._write = write

    def try_write(self, burst: Burst) -> bool:
        """Do what the base does, a call shorter."""
        return not self.is_held and self._write(self._form(burst))

    def write(self, frames: bytes) -> bool:
        """Let the host write."""
        return self._write(frames)
