"""Faults: what a client is told of an exception, and what the log is.

A client may choose what goes wrong and how often, so both are bounded whatever a
message holds: entries never repeat their input, long texts are cut, and of many
entries the first hundred are told. What an application puts into its exceptions may
have no JSON, or no text: that is its own fault, and never ends a connection.
"""

import logging
import traceback
from http import HTTPStatus
from json import JSONDecodeError
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json, to_json, to_jsonable_python
from starlette.exceptions import HTTPException

__all__ = ["Entry", "HandlerError", "describe", "log_failure"]

logger: logging.Logger = logging.getLogger(__name__)

Entry = dict[str, Any]

_MOST_ENTRIES = 100
_MOST_PARTS = 20  # of a place inside a message
_LONGEST_PART = 100  # characters
_LONGEST_TEXT = 500
_LONGEST_CONTEXT = 500  # bytes of JSON
_LONGEST_DETAIL = 20_000  # characters of a text, else bytes of JSON
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
    ``HTTPException`` is told with its ``status`` and ``detail``. Of all others, and of
    one whose content has no JSON or too much of it, the client hears no more than that
    there was one; why it cannot be told is logged.

    It raises nothing, and the entries are JSON already: dicts, lists, texts, numbers
    (null for NaN and infinities), booleans and None.
    """
    try:
        entries: list[Entry] = from_json(_to_json(_describe(exc)))
    except Exception as failure:  # noqa: BLE001 - values and texts of the application
        _log("an exception could not be told", failure)
        return [_internal_error()]
    return entries


def log_failure(exc: Exception) -> None:
    """Log an exception with its traceback, unless it is the client's or meant for it.

    The text of an exception may hold what the client sent: a traceback that is too long
    is cut in its middle, and then is part of the message.
    """
    if isinstance(exc, ValidationError | JSONDecodeError | HTTPException):
        return
    _log("an event could not be handled", exc)


def _log(what: str, exc: Exception) -> None:
    text = "".join(traceback.format_exception(exc))
    if len(text) <= _LONGEST_TRACEBACK:
        logger.error(what, exc_info=exc)
    else:
        half = _LONGEST_TRACEBACK // 2
        logger.error("%s\n%s\n[...]\n%s", what, text[:half], text[-half:])


def _describe(exc: Exception) -> list[Entry]:
    match exc:
        case ValidationError():
            return _describe_invalid(exc)
        case JSONDecodeError():
            text = f"Invalid JSON: {exc.msg} at line {exc.lineno} column {exc.colno}"
            return [_entry("json_invalid", text)]
        case HTTPException():
            return [_describe_http(exc)]
        case _:
            return [_internal_error()]


def _describe_http(exc: HTTPException) -> Entry:
    """Return the entry of an exception that is meant for the client.

    Raises:
        ValueError: If there is no JSON for its detail, or too much.
    """
    status = exc.status_code
    detail: object = exc.detail  # FastAPI's may be anything
    if isinstance(detail, str):
        text = detail
        detail = _shorten(detail, _LONGEST_DETAIL)
    else:
        text = _phrase(status)
        content = _to_json(detail)
        if len(content) > _LONGEST_DETAIL:
            raise ValueError(
                f"the detail of an HTTPException has {len(content)} bytes of JSON: "
                f"expected {_LONGEST_DETAIL} at most"
            )
        detail = from_json(content)  # an iterator gives its values once
    return {**_entry("http_error", text), "status": status, "detail": detail}


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
        return len(_to_json(value)) <= _LONGEST_CONTEXT
    except ValueError:  # it has none
        return False


def _to_json(value: object) -> bytes:
    # in one step, models would write NaN as they like
    return to_json(to_jsonable_python(value), inf_nan_mode="null")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:  # one of the application's own
        return "Error"


def _internal_error() -> Entry:
    return _entry("internal_error", "Internal server error")


def _entry(kind: str, text: str) -> Entry:
    return {"type": kind, "loc": [], "msg": _shorten(text, _LONGEST_TEXT)}
