"""Pages: what `pondsocket serve` and the demo show beside the endpoints."""

from collections.abc import Mapping
from typing import TypeAlias

from pondsocket.web.sse import HTTPAnswer

__all__ = ["PageAnswers", "Pages"]

Pages: TypeAlias = Mapping[str, tuple[str, bytes]]  # path -> (content type, body)

_METHODS = frozenset({"GET", "HEAD"})


class PageAnswers:
    """The answer to each page; it can only be got.

    Args:
        pages: Path to (content type, body); None for none.

    Attributes:
        by_path: The answers, for servers that find the path themselves. To HEAD the
            server sends the same without the body.
    """

    def __init__(self, pages: Pages | None) -> None:
        self.by_path: Mapping[str, HTTPAnswer] = {
            path: HTTPAnswer(200, [("content-type", content_type)], body)
            for path, (content_type, body) in (pages or {}).items()
        }

    def find(self, method: str, path: str) -> HTTPAnswer | None:
        """Return the answer to a request, None if it asks for no page."""
        return self.by_path.get(path) if method in _METHODS else None
