"""Collection: the handlers that a class has, of its own and from its bases."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pondsocket_asgi.endpoints.class_body import find_declaration
from pondsocket_asgi.endpoints.handler import Handler
from pondsocket_asgi.endpoints.marks import Mark

__all__ = ["ATTACHED", "Attached", "collect_handlers"]

ATTACHED = "_attached"  # the attribute of a class for what was attached to it


@dataclass(frozen=True, slots=True)
class Attached:
    """A handler that a class was given after it was made.

    Attributes:
        handler: The handler.
        overwrites: Whether it stands in for one of the same event from elsewhere.
    """

    handler: Handler
    overwrites: bool


def collect_handlers(cls: type) -> dict[str, Handler]:
    """Return the handlers of a class by event, its bases' and mixins' among them.

    An attribute that was marked once stays a handler of its event in subclasses: one
    that defines it anew replaces the function, and None takes the handler away.

    Raises:
        ValueError: If two functions handle the same event.
        TypeError: If a function's signature or what replaces it makes no handler.
    """
    found: dict[str, Mark | Handler] = {}
    for owner in reversed(cls.__mro__):
        _take_marked(vars(owner), found)
        _take_attached(owner, found)
    handlers: dict[str, Handler] = {}
    owners: dict[str, str] = {}
    for name, declared in found.items():
        handler = _make_handler(cls, name, declared)
        if handler.event in handlers:
            both = f"{owners[handler.event]} and {name}"
            raise ValueError(f"{cls.__qualname__}: {both} handle {handler.event!r}")
        handlers[handler.event] = handler
        owners[handler.event] = name
    return handlers


def _take_marked(
    namespace: Mapping[str, Any], found: dict[str, Mark | Handler]
) -> None:
    for name, value in namespace.items():
        declaration = find_declaration(value)
        if isinstance(declaration, Handler):
            # a function of that name may replace it in a subclass
            found[name] = Mark(declaration.event, declaration.response_model)
        elif declaration is not None:
            found[name] = declaration
        elif value is None:
            found.pop(name, None)


def _take_attached(owner: type, found: dict[str, Mark | Handler]) -> None:
    attached: dict[str, Attached] = vars(owner).get(ATTACHED, {})
    for event, each in attached.items():
        if each.overwrites:
            for name in [x for x, other in found.items() if other.event == event]:
                del found[name]
        # no attribute is called so
        found[f"{event!r} attached to {owner.__qualname__}"] = each.handler


def _make_handler(cls: type, name: str, declared: Mark | Handler) -> Handler:
    if isinstance(declared, Handler):
        return declared
    value = getattr(cls, name)
    if isinstance(value, Handler):
        return value
    return Handler(declared.event, value, declared.response_model)
