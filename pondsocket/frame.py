"""Frame: one outgoing event, each form in which it travels built at most once."""

from dataclasses import replace
from typing import Final, cast

from pondsocket.framing import BINARY, DEFLATED, TEXT, build_frame, deflate
from pondsocket.types import Event
from pondsocket.wire import JSON_CODEC, Codec, event_to_json, payload_in

__all__ = ["Frame"]

# How the JSON of an event goes on after its action, before its payload, and ends
# without one.
_BODY: Final = ',"event":'
_PAYLOAD: Final = ',"payload":'
_NO_PAYLOAD: Final = "{}}"
# What would end the event's name in an event stream, or the whole event (WHATWG HTML,
# 9.2.6); NUL some parsers refuse.
_NOT_IN_STREAM: Final = dict.fromkeys(map(ord, "\r\n\0"))


class Frame:
    """One outgoing event for any number of connections.

    The event is encoded at once, so a later change of its payload no longer shows and
    an event that cannot be encoded fails where it was made. Every other form is built
    from that when first asked for, and kept.

    Args:
        event: What to send; read, never changed.
        codec: How to write it.

    Raises:
        BadRequest: If the codec cannot encode the event.

    Attributes:
        name: The event's name.
    """

    __slots__ = (
        "_codec",
        "_data",
        "_deflated",
        "_event",
        "_is_relayed",
        "_rendered",
        "_rendered_by",
        "_sse",
        "_websocket",
        "name",
    )

    def __init__(self, event: Event, codec: Codec = JSON_CODEC) -> None:
        self.name: str = event.event
        self._event = event
        self._is_relayed = False
        self._codec = codec
        self._rendered = codec.encode(event)
        self._data: bytes | None = None
        self._websocket: bytes | None = None
        self._deflated: bytes | None = None
        self._sse: dict[bool, bytes] | None = None
        self._rendered_by: dict[str, str | bytes] | None = None

    @classmethod
    def relayed(cls, event: Event, payload: str) -> "Frame":
        """Return a frame around a payload that is JSON already; it is not built.

        Args:
            event: Everything but the payload, which is None.
            payload: The text of a JSON object, known to be well-formed. White space in
                it may go.
        """
        frame = cls(event)
        text = f"{frame.text.removesuffix(_NO_PAYLOAD)}{payload}}}"
        if "\n" in payload or "\r" in payload:  # would end a line of an event stream
            text = event_to_json(replace(event, payload=payload_in(text)))
        frame._rendered = text
        frame._is_relayed = True
        return frame

    @property
    def event(self) -> Event:
        """The event itself."""
        if self._is_relayed:
            self._event = self.copy_event()
            self._is_relayed = False
        return self._event

    @property
    def channel_name(self) -> str:
        """The full name of the event's channel."""
        return self._event.channel_name

    @property
    def request_id(self) -> str:
        """What correlates the event with others."""
        return self._event.request_id

    @property
    def body(self) -> str:
        """The event's JSON but for its action: ``"event":"chat",…,"payload":{…}``."""
        text = self._json()
        return text[text.index(_BODY) + 1 : -1]

    @property
    def payload(self) -> str:
        """The payload as JSON."""
        text = self._json()
        # The first one is the member's: inside of a string its quotes are escaped.
        return text[text.index(_PAYLOAD) + len(_PAYLOAD) : -1]

    @property
    def text(self) -> str:
        """What the codec wrote, if that is text; the event as JSON if it is not."""
        rendered = self._rendered
        return rendered if isinstance(rendered, str) else self._json()

    @property
    def data(self) -> bytes:
        """What the codec wrote, as bytes."""
        data = self._data
        if data is None:
            rendered = self._rendered
            data = rendered.encode() if isinstance(rendered, str) else rendered
            self._data = data
        return data

    @property
    def size(self) -> int:
        """The length of :attr:`data` in bytes."""
        return len(self.data)

    @property
    def websocket(self) -> bytes:
        """A whole WebSocket frame, for connections that negotiated no extension."""
        frame = self._websocket
        if frame is None:
            frame = self._websocket = build_frame(self._opcode, self.data)
        return frame

    @property
    def deflated(self) -> bytes:
        """The same for connections that agreed on permessage-deflate (RFC 7692).

        Compressed for itself, so it is for those only whose server forgets each message
        (``server_no_context_takeover``); not compressed if that makes it no shorter.
        """
        frame = self._deflated
        if frame is None:
            compressed = deflate(self.data)
            if len(compressed) < len(self.data):
                frame = build_frame(self._opcode | DEFLATED, compressed)
            else:
                frame = self.websocket
            self._deflated = frame
        return frame

    @property
    def _opcode(self) -> int:
        return TEXT if isinstance(self._rendered, str) else BINARY

    def render(self, codec: Codec) -> str | bytes:
        """Return what ``codec`` makes of the event, kept by the codec's name.

        A codec other than the frame's own sees the event as it is at the first call.

        Raises:
            BadRequest: If the codec cannot encode the event.
        """
        if codec is self._codec or codec.name == self._codec.name:
            return self._rendered
        if self._rendered_by is None:
            self._rendered_by = {}
        rendered = self._rendered_by.get(codec.name)
        if rendered is None:
            rendered = self._rendered_by[codec.name] = codec.encode(self.event)
        return rendered

    def copy_event(self) -> Event:
        """Return the event as it was encoded, with a payload of its own.

        Its payload is what clients get: JSON, whatever the application put in.
        """
        return replace(self._event, payload=payload_in(self._json()))

    def sse(self, with_event_name: bool = True) -> bytes:
        """Return the event as it stands in an event stream: always as JSON.

        Args:
            with_event_name: Whether to begin with an ``event:`` line, the event's name
                without CR, LF and NUL. A browser's ``onmessage`` gets only events
                without that line.
        """
        if self._sse is None:
            self._sse = {}
        chunk = self._sse.get(with_event_name)
        if chunk is None:
            chunk = self._sse[with_event_name] = self._event_stream(with_event_name)
        return chunk

    def _json(self) -> str:
        # JSON_CODEC writes str; render() cannot know.
        return cast("str", self.render(JSON_CODEC))

    def _event_stream(self, with_event_name: bool) -> bytes:
        # JSON holds no raw line break, so it is one line of data.
        data = f"data: {self._json()}\n\n"
        if not with_event_name:
            return data.encode()
        return f"event: {self.name.translate(_NOT_IN_STREAM)}\n{data}".encode()
