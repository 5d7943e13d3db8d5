"""Faults: what a client is told of an exception, and what the log is.

A client may choose what goes wrong and how often, so both are bounded whatever a
message holds: entries never repeat their input, long texts are cut, and of many
entries the first hundred are told.
"""

import logging
import traceback
from http import HTTPStatus
from json import JSONDecodeError
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json
from starlette.exceptions import HTTPException

__all__ = ["Entry", "HandlerError", "describe", "log_failure"]

logger: logging.Logger = logging.getLogger(__name__)

Entry = dict[str, Any]

_MOST_ENTRIES = 100
_MOST_PARTS = 20  # of a place inside a message
_LONGEST_PART = 100  # characters
_LONGEST_TEXT = 500
_LONGEST_CONTEXT = 500  # bytes of JSON
_LONGEST_LISTING = 200_000  # characters that are read for the first hundred
_LONGEST_TRACEBACK = 20_000


class HandlerError(RuntimeError):
    """A handler failed at something that the client has no part in.

    It stands for a ``ValidationError`` or ``JSONDecodeError`` (its ``__cause__``) that
    would read as if the client's message were wrong.
    """


def describe(exc: Exception) -> list[Entry]:
    """Return the entries for ``{"errors": [...]}``: what a client may know.

    Each has ``type``, ``loc`` and ``msg``. A ``ValidationError`` and a
    ``JSONDecodeError`` are the client's and told in pydantic's words. An
    ``HTTPException`` is told with its ``status`` and ``detail``. Of all others the
    client hears no more than that there was one.
    """
    match exc:
        case ValidationError():
            return _describe_invalid(exc)
        case JSONDecodeError():
            text = f"Invalid JSON: {exc.msg} at line {exc.lineno} column {exc.colno}"
            return [_entry("json_invalid", text)]
        case HTTPException():
            status = exc.status_code
            detail: object = exc.detail  # FastAPI's may be anything
            text = detail if isinstance(detail, str) else _phrase(status)
            return [{**_entry("http_error", text), "status": status, "detail": detail}]
        case _:
            return [_entry("internal_error", "Internal server error")]


def log_failure(exc: Exception) -> None:
    """Log an exception with its traceback, unless it is the client's or meant for it.

    The text of an exception may hold what the client sent: a traceback that is too long
    is cut in its middle, and then is part of the message.
    """
    if isinstance(exc, ValidationError | JSONDecodeError | HTTPException):
        return
    text = "".join(traceback.format_exception(exc))
    if len(text) <= _LONGEST_TRACEBACK:
        logger.error("an event could not be handled", exc_info=exc)
    else:
        half = _LONGEST_TRACEBACK // 2
        cut = f"{text[:half]}\n[...]\n{text[-half:]}"
        logger.error("an event could not be handled\n%s", cut)


def _describe_invalid(exc: ValidationError) -> list[Entry]:
    count = exc.error_count()
    if count <= _MOST_ENTRIES:
        return [_cut(each) for each in exc.errors(include_url=False)]
    # as text all of them take a tenth of the time and memory that objects do
    listing = exc.json(include_url=False, include_input=False, include_context=False)
    start = from_json(listing[:_LONGEST_LISTING], allow_partial=True)
    if len(listing) > _LONGEST_LISTING:
        del start[-1:]  # it may have been cut
    entries = [_cut(each) for each in start[:_MOST_ENTRIES]]
    text = f"{count - len(entries)} more errors"
    return [*entries, _entry("too_many_errors", text)]


def _cut(error: Any) -> Entry:  # noqa: ANN401 - pydantic's, or the same from its JSON
    entry: Entry = {
        "type": error["type"],
        "loc": [_cut_part(part) for part in error["loc"][:_MOST_PARTS]],
        "msg": _shorten(error["msg"], _LONGEST_TEXT),
    }
    context = error.get("ctx")
    if context and _is_short_json(context):
        entry["ctx"] = context
    return entry


def _cut_part(part: int | str) -> int | str:
    return part if isinstance(part, int) else _shorten(part, _LONGEST_PART)


def _shorten(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _is_short_json(value: object) -> bool:
    try:
        return len(to_json(value)) <= _LONGEST_CONTEXT
    except PydanticSerializationError:
        return False


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:  # one of the application's own
        return "Error"


def _entry(kind: str, text: str) -> Entry:
    return {"type": kind, "loc": [], "msg": text}
