"""The errors of the library and how they show on the wire; no transport, no logging.

::

    PondError                  message, code, channel_name, temporary, details, cause
    ├── BadRequest             400
    │   ├── EncodingError      400, what the application sends has no JSON form
    │   └── ValidationError    400, what a client sent is malformed; knows the member
    ├── Unauthorized           401
    ├── Forbidden              403
    ├── NotFound               404
    ├── Conflict               409
    ├── TooManyRequests        429, temporary
    ├── InternalError          500
    ├── Unavailable            503, temporary
    ├── DeadlineExceeded       504, temporary
    ├── PubSubClosedError      503, for good
    └── MultiError             500, several errors of one operation

The lower-case names at the end (``bad_request``, ``timeout``, …) are these classes.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final

__all__ = [
    "BadRequest",
    "Conflict",
    "DeadlineExceeded",
    "EncodingError",
    "Forbidden",
    "InternalError",
    "MultiError",
    "NotFound",
    "PondError",
    "PubSubClosedError",
    "TooManyRequests",
    "Unauthorized",
    "Unavailable",
    "ValidationError",
    "bad_request",
    "close_code_for",
    "conflict",
    "forbidden",
    "http_status_for",
    "internal",
    "is_refusal",
    "not_found",
    "timeout",
    "too_many_requests",
    "truncate_reason",
    "unauthorized",
    "unavailable",
    "wrap",
]

# RFC 6455, 5.5: a control frame carries 125 bytes, two of them are the close code.
_REASON_BYTES: Final = 123
_POLICY_VIOLATION: Final = 1008
_HTTP_STATUSES: Final = range(100, 1000)
_CLOSE_CODES: Final = range(1000, 5000)
_SERVER_ERRORS: Final = 500
_FINAL_STATUSES: Final = range(200, 600)


class PondError(Exception):
    """Anything that goes wrong here and that a caller, or a client, may be told.

    Attributes:
        message: What happened; a client may read it.
        code: An HTTP status, or a close code from 1000 on.
        channel_name: The channel concerned, "" if none.
        temporary: Whether trying again later may help.
        details: More for the client, encodable as JSON, or None.
    """

    def __init__(
        self,
        message: str,
        code: int,
        *,
        channel_name: str = "",
        temporary: bool = False,
        details: Mapping[str, Any] | None = None,
        cause: BaseException | None = None,
    ) -> None:
        super().__init__(message, code)
        self.message = message
        self.code = code
        self.channel_name = channel_name
        self.temporary = temporary
        self.details = details
        self.__cause__ = cause

    @property
    def cause(self) -> BaseException | None:
        """Return the exception behind this one, however it was chained."""
        return self.__cause__

    def __str__(self) -> str:
        text = f"{self.message} (code: {self.code})"
        name = self.channel_name
        if not name:
            return text
        if not name.isprintable():  # a client's text, and this goes into logs
            name = repr(name)[1:-1]
        return f"Error in Channel {name}: {text}"


class _StatusError(PondError):
    """An error whose class tells its code; made as ``(channel_name, message)``."""

    status: ClassVar[int]
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        channel_name: str,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        cause: BaseException | None = None,
    ) -> None:
        super().__init__(
            message,
            self.status,
            channel_name=channel_name,
            temporary=self.retryable,
            details=details,
            cause=cause,
        )
        # copy and pickle make an exception anew from its args
        self.args: tuple[Any, ...] = (channel_name, message)


class BadRequest(_StatusError):
    """The caller or the client asked for something that makes no sense."""

    status = 400


class EncodingError(BadRequest):
    """What the application wants to send has no JSON form.

    A mistake of the application: raised out of a handler it counts as a failure of the
    handler, and the client learns nothing of it.
    """


class Unauthorized(_StatusError):
    """Nobody knows who asks."""

    status = 401


class Forbidden(_StatusError):
    """It is known who asks, and they may not."""

    status = 403


class NotFound(_StatusError):
    """There is no such channel, user or route."""

    status = 404


class Conflict(_StatusError):
    """It is there already."""

    status = 409


class TooManyRequests(_StatusError):
    """A limit on how often was reached."""

    status = 429
    retryable = True


class InternalError(_StatusError):
    """Something failed that the asker has no part in."""

    status = 500


class Unavailable(_StatusError):
    """It is closed, closing, or not reachable at the moment."""

    status = 503
    retryable = True


class DeadlineExceeded(_StatusError):
    """An answer did not come in time."""

    status = 504
    retryable = True


class ValidationError(BadRequest):
    """What came over the wire is not a message.

    Attributes:
        path: The member at fault as a client calls it (``"channelName"``), "" for the
            message as a whole.
        request_id: The request's own id as far as it could be read, so that the answer
            can carry it.
    """

    def __init__(
        self, message: str, path: str = "", *, request_id: str | None = None
    ) -> None:
        super().__init__("", message)
        self.args: tuple[Any, ...] = (message, path)
        self.path = path
        self.request_id = request_id

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class PubSubClosedError(PondError):
    """A PubSub was used after its ``close()``."""

    def __init__(self) -> None:
        super().__init__("the pubsub is closed", 503)
        self.args: tuple[Any, ...] = ()


class MultiError(PondError):
    """Several errors of one operation that went on after the first.

    Its ``message``, which a client may read, only counts them; ``str()`` tells all.

    Attributes:
        errors: The errors in the order in which they happened.
    """

    def __init__(self, errors: Iterable[BaseException]) -> None:
        self.errors: list[BaseException] = list(errors)
        super().__init__(f"{len(self.errors)} errors", 500)
        self.args: tuple[Any, ...] = (self.errors,)

    def __str__(self) -> str:
        return "; ".join(str(error) or type(error).__name__ for error in self.errors)


_BY_STATUS: Final[dict[int, type[_StatusError]]] = {
    kind.status: kind
    for kind in (
        BadRequest,
        Unauthorized,
        Forbidden,
        NotFound,
        Conflict,
        TooManyRequests,
        InternalError,
        Unavailable,
        DeadlineExceeded,
    )
}


def wrap(err: BaseException, message: str) -> PondError:
    """Put ``message`` before what ``err`` says and return the result to be raised.

    A :class:`PondError` keeps its code, channel, temporary flag and details, and comes
    back as the class of its code. The text of any other exception stays out of the
    message, since a client may read that. ``err`` is the cause of what is returned.
    """
    if not isinstance(err, PondError):
        return InternalError("", message, cause=err)
    text = f"{message}: {err.message}"
    kind = _BY_STATUS.get(err.code)
    wrapped: PondError
    if kind is None:
        wrapped = PondError(text, err.code, channel_name=err.channel_name)
    else:
        wrapped = kind(err.channel_name, text)
    wrapped.temporary = err.temporary
    wrapped.details = err.details
    wrapped.__cause__ = err
    return wrapped


def is_refusal(err: BaseException) -> bool:
    """Tell whether an error that a handler raised says no, rather than that it failed.

    True for codes below 500 and for 503, unless it is an :class:`EncodingError`.
    """
    if not isinstance(err, PondError) or isinstance(err, EncodingError):
        return False
    return err.code < _SERVER_ERRORS or err.code == Unavailable.status


def close_code_for(status: int) -> int:
    """Return the WebSocket close code that stands for ``status``.

    An HTTP status n (100 to 999) is 4000 + n, a close code (1000 to 4999) is itself,
    anything else is 1008.
    """
    if status in _HTTP_STATUSES:
        return 4000 + status
    if status in _CLOSE_CODES:
        return status
    return _POLICY_VIOLATION


def http_status_for(code: int) -> int:
    """Return the HTTP status that refuses a handshake with ``code``.

    A final status that hosts can send (200 to 599) is itself, a redirection or 204
    ("do not come back", for an event stream) too. Anything else is 403.
    """
    return code if code in _FINAL_STATUSES else 403


def truncate_reason(text: str) -> str:
    """Cut ``text`` to what fits a close frame: 123 bytes of UTF-8, whole characters."""
    data = text.encode("utf-8", "replace")
    return data[:_REASON_BYTES].decode("utf-8", "ignore")


bad_request = BadRequest
unauthorized = Unauthorized
forbidden = Forbidden
not_found = NotFound
conflict = Conflict
too_many_requests = TooManyRequests
internal = InternalError
unavailable = Unavailable
timeout = DeadlineExceeded
