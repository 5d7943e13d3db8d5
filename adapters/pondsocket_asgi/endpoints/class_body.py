"""ClassBody: the names of an endpoint class while they are being defined."""

from typing import Any

from pondsocket_asgi.endpoints.handler import Handler
from pondsocket_asgi.endpoints.marks import Mark, find_mark

__all__ = ["ClassBody", "find_declaration"]


class ClassBody(dict[str, Any]):
    """A namespace in which no second definition silently replaces a handler.

    A dict would keep the last of two functions with the same name, and the event of the
    first would have no handler. Replacing a function by what wraps it is no second
    definition, as long as the mark is the same.

    Args:
        name: That of the class.
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def __setitem__(self, name: str, value: Any) -> None:  # noqa: ANN401 - any attribute
        """Keep a value.

        Raises:
            ValueError: If a handler of that name would be lost.
        """
        lost = find_declaration(self.get(name))
        if lost is not None and find_declaration(value) is not lost:
            owner = self.get("__qualname__", self._name)
            raise ValueError(
                f"{owner}: {name} handles {lost.event!r} and is defined again"
            )
        super().__setitem__(name, value)


def find_declaration(value: object) -> Mark | Handler | None:
    """Return what makes an attribute of a class a handler, None if nothing does."""
    return value if isinstance(value, Handler) else find_mark(value)
