"""Messages: the object that a client sends, before anybody knows its fields."""

from collections.abc import Iterable
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from pondsocket_asgi.endpoints.weight import is_too_heavy

__all__ = ["WebSocketEventMessage", "read_message", "unknown_event"]

_TOO_HEAVY = PydanticCustomError(
    "too_heavy", "Too many values below long names, or too deep"
)


class WebSocketEventMessage(BaseModel):
    """One incoming event; every field but ``type`` is kept as it came.

    Attributes:
        type: Name of the event.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow", use_enum_values=True)

    type: str


def read_message(raw: str | bytes, limit: int = 0) -> WebSocketEventMessage:
    """Return the message in a frame; a binary frame holds JSON in UTF-8.

    Args:
        raw: The frame's payload.
        limit: Characters, or bytes, that it may have; 0 for any number.

    Raises:
        ValidationError: If it is longer than the limit, is no JSON, nests deeper than
            the parser goes, is no object, has no ``type`` that is a string, or could
            cost too much: see :mod:`pondsocket_asgi.endpoints.weight`.
    """
    if 0 < limit < len(raw):
        too_large = PydanticCustomError(
            "too_large", "Message should have at most {limit} bytes", {"limit": limit}
        )
        raise _refuse(InitErrorDetails(type=too_large, input=None))
    message = WebSocketEventMessage.model_validate_json(raw)
    if is_too_heavy(message.model_extra or {}, len(raw)):
        raise _refuse(InitErrorDetails(type=_TOO_HEAVY, input=None))
    return message


def unknown_event(known: Iterable[str]) -> ValidationError:
    """Return the error that pydantic has for a literal which is none of ``known``."""
    expected = " or ".join(map(repr, known)) or "nothing: there are no events"
    return _refuse(
        InitErrorDetails(
            type="literal_error",
            loc=("type",),
            input=None,  # it stays where it is
            ctx={"expected": expected},
        )
    )


def _refuse(line: InitErrorDetails) -> ValidationError:
    return ValidationError.from_exception_data(WebSocketEventMessage.__name__, [line])
