"""Burst: the frames that go to a connection at once, joined at most once in each form.

One is shared by all members of a channel that get the same frames: whatever their
number, the bytes for the wire are built once.
"""

from functools import cached_property

from pondsocket.frame import Frame
from pondsocket.framing import DEFLATED, TEXT, build_frame, deflate

__all__ = ["Burst"]


class Burst(tuple[Frame, ...]):  # noqa: SLOT001 - where its cached properties are
    """Frames in the order in which they go out.

    It is a tuple of them. Its other forms are whole WebSocket frames, for transports
    that write past their host; a text that becomes no shorter stays uncompressed.
    """

    @cached_property
    def websocket(self) -> bytes:
        """A WebSocket frame for each, for connections without any extension."""
        if len(self) == 1:
            return self[0].websocket
        return b"".join([frame.websocket for frame in self])

    @cached_property
    def deflated(self) -> bytes:
        """The same for connections that agreed on permessage-deflate."""
        if len(self) == 1:
            return self[0].deflated
        return b"".join([frame.deflated for frame in self])

    @cached_property
    def messages(self) -> tuple[str, ...]:
        """The JSON of each."""
        return tuple([frame.text for frame in self])

    @cached_property
    def text(self) -> str:
        """The JSON of all, separated by newlines, of which JSON itself has none."""
        return "\n".join(self.messages)

    @cached_property
    def batch(self) -> bytes:
        """One WebSocket frame for all, for clients that asked for such."""
        if len(self) == 1:
            return self[0].websocket
        return build_frame(TEXT, self.text.encode())

    @cached_property
    def deflated_batch(self) -> bytes:
        """The same for connections that agreed on permessage-deflate."""
        if len(self) == 1:
            return self[0].deflated
        payload = self.text.encode()
        compressed = deflate(payload)
        if len(compressed) < len(payload):
            return build_frame(TEXT | DEFLATED, compressed)
        return self.batch
