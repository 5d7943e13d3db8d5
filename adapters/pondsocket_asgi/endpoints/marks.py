"""Marks: what ``@on_event`` leaves on a function, for a class to find."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from pydantic import BaseModel

__all__ = ["Function", "Mark", "default_event", "find_mark", "on_event"]

_ATTRIBUTE = "__pond_event__"
_PREFIXES = ("on_", "handle_")

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Mark:
    """What a function was declared as.

    Attributes:
        event: Name of the event that it handles.
        response_model: What it answers with, None for anything with fields.
    """

    event: str
    response_model: type[BaseModel] | None


@overload
def on_event(event: Function) -> Function: ...


@overload
def on_event(
    event: str | None = None, response_model: type[BaseModel] | None = None
) -> Callable[[Function], Function]: ...


def on_event(
    event: Callable[..., Any] | str | None = None,
    response_model: type[BaseModel] | None = None,
) -> Callable[..., Any]:
    """Declare a function of an endpoint class, or of a mixin, as a handler.

    All of ``@on_event``, ``@on_event("name")`` and ``@on_event(response_model=Model)``
    work, above or below ``@staticmethod`` and ``@classmethod``. The function stays as
    it is: the class that it is defined in makes the handler.

    Args:
        event: Name of the event; the function's name if there is none, without a
            leading ``on_`` or ``handle_``.
        response_model: What the answer is validated against.

    Raises:
        TypeError: If the function has no name, or cannot be marked.
    """
    if event is None or isinstance(event, str):
        return lambda function: _mark(function, event, response_model)
    return _mark(event, None, response_model)  # a class method cannot be called


def default_event(function: Callable[..., Any]) -> str:
    """Return a function's name, without a leading ``on_`` or ``handle_``.

    Raises:
        TypeError: If it has none, as a partial function.
    """
    name: str | None = getattr(function, "__name__", None)
    if name is None:
        raise TypeError(f"{function!r} has no name: give the event one")
    for prefix in _PREFIXES:
        if name.startswith(prefix) and name != prefix:
            return name.removeprefix(prefix)
    return name


def find_mark(value: object) -> Mark | None:
    """Return the mark of a class attribute, or of the function that it wraps."""
    for marked in (value, getattr(value, "__func__", None)):
        mark = getattr(marked, "__dict__", {}).get(_ATTRIBUTE)
        if isinstance(mark, Mark):
            return mark
    return None


def _mark(
    function: Function, event: str | None, response_model: type[BaseModel] | None
) -> Function:
    name = default_event(function) if event is None else event
    try:
        setattr(function, _ATTRIBUTE, Mark(name, response_model))
    except AttributeError as exc:
        raise TypeError(
            f"{function!r} cannot be marked: attach_handler() takes it"
        ) from exc
    return function
