"""web: what the adapter of every HTTP server needs; no server is known here.

This is the front door for adapters: a handshake is decided by ``admit``, a WebSocket
becomes a ``WebSocketTransport``, and an ``SSEService`` answers all other requests.
"""

from pondsocket.burst import Burst
from pondsocket.eager import start_eagerly
from pondsocket.frame_writer import MAX_UNSENT, FrameWriter
from pondsocket.framing import (
    DEFLATE_MEMORY_LEVEL,
    DEFLATE_WINDOW_BITS,
    frame_message,
)
from pondsocket.rules import (
    Count,
    Deadline,
    Limit,
    Period,
    Rule,
    Switch,
    check_settings,
)
from pondsocket.web.aborting import abort
from pondsocket.web.errors import BodyTooLarge, ClientLeft
from pondsocket.web.event_stream import EventStream, StreamResponse
from pondsocket.web.frame_budget import FrameBudget
from pondsocket.web.handshake import Admission, HTTPRequest, Refusal, admit
from pondsocket.web.listening import BACKLOG, close_sockets, open_sockets
from pondsocket.web.pages import PageAnswers, Pages
from pondsocket.web.read_buffers import keep_read_buffers
from pondsocket.web.size_limit import size_limit_for
from pondsocket.web.sse import HeaderFields, HTTPAnswer, SSEService, StreamAnswer
from pondsocket.web.websocket import WebSocketTransport

__all__ = [
    "BACKLOG",
    "DEFLATE_MEMORY_LEVEL",
    "DEFLATE_WINDOW_BITS",
    "MAX_UNSENT",
    "Admission",
    "BodyTooLarge",
    "Burst",
    "ClientLeft",
    "Count",
    "Deadline",
    "EventStream",
    "FrameBudget",
    "FrameWriter",
    "HTTPAnswer",
    "HTTPRequest",
    "HeaderFields",
    "Limit",
    "PageAnswers",
    "Pages",
    "Period",
    "Refusal",
    "Rule",
    "SSEService",
    "StreamAnswer",
    "StreamResponse",
    "Switch",
    "WebSocketTransport",
    "abort",
    "admit",
    "check_settings",
    "close_sockets",
    "frame_message",
    "keep_read_buffers",
    "open_sockets",
    "size_limit_for",
    "start_eagerly",
]
