"""Patterns: matching the path of an endpoint, a channel's or an event's name.

A pattern is matched segment by segment, a segment being what stands between slashes:

=============  =======================================================================
``chat``       itself
``:room``      any segment, kept as ``params["room"]``
``file-:name`` a segment that begins with ``file-`` and goes on, the rest kept
``*``          all that is left, also nothing, kept as ``wildcard``; only at the end
=============  =======================================================================

Outer and repeated slashes do not count. Names and case must be equal as written; what
is kept is URL-decoded after the path was taken apart, so ``%2F`` is no separator. What
follows ``?`` in a path is its query.

A colon inside a segment always makes a parameter of what follows the last one. The
pattern ``user:typing`` matches the event ``user:typing``, and every other event that
begins with ``user``; register the longer names first.
"""

import re
from binascii import a2b_qp
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import parse_qs

from pondsocket.errors import NotFound
from pondsocket.types import Route

__all__ = ["Pattern", "compile_pattern", "parse"]

_QUOTED_CHARACTERS: Final = 100
_ESCAPE: Final = re.compile(rb"%(?=[0-9A-Fa-f]{2})")


class _Segment(NamedTuple):
    prefix: str
    name: str | None


class Pattern:
    """A compiled pattern; :func:`compile_pattern` makes it.

    Attributes:
        source: The pattern as it was written.
    """

    __slots__ = ("_has_wildcard", "_is_literal", "_segments", "source")

    def __init__(
        self, source: str, segments: tuple[_Segment, ...], *, has_wildcard: bool
    ) -> None:
        self.source: str = source
        self._segments = segments
        self._has_wildcard = has_wildcard
        named = any(segment.name is not None for segment in segments)
        self._is_literal = not named and not has_wildcard

    def match(self, path: str) -> Route | None:
        """Return what the pattern takes from ``path``, None if it does not match.

        Never raises, and takes time in proportion to the length of ``path``.
        """
        if self._is_literal and path == self.source:
            return Route()
        bare, _, query = path.partition("?")
        count = len(self._segments)
        parts = _split(bare, count)
        rest = parts.pop() if len(parts) > count else None
        if len(parts) < count or (rest is not None and not self._has_wildcard):
            return None
        params: dict[str, str] = {}
        for (prefix, name), part in zip(self._segments, parts, strict=True):
            if name is None:
                if part != prefix:
                    return None
            elif part.startswith(prefix) and len(part) > len(prefix):
                params[name] = _unquote(part[len(prefix) :])
            else:
                return None
        return Route(
            params,
            parse_qs(query, keep_blank_values=True) if query else {},
            _unquote(rest or "") if self._has_wildcard else None,
        )

    def __repr__(self) -> str:
        return f"Pattern({self.source!r})"


@lru_cache(maxsize=256)
def compile_pattern(pattern: str) -> Pattern:
    """Return ``pattern`` ready to match; a pattern is cheap to compile again.

    Raises:
        ValueError: If it has a query, a ``*`` that is not the whole last segment, a
            parameter without a name, two parameters in a segment, or a name twice.
    """
    if "?" in pattern:
        raise ValueError(f"pattern {pattern!r}: a query is not part of a pattern")
    parts = [part for part in pattern.split("/") if part]
    has_wildcard = bool(parts) and parts[-1] == "*"
    if has_wildcard:
        parts.pop()
    segments = tuple(_segment(part, pattern) for part in parts)
    names = [segment.name for segment in segments if segment.name is not None]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"pattern {pattern!r}: the name {name!r} stands twice")
    return Pattern(pattern, segments, has_wildcard=has_wildcard)


def parse(pattern: str, path: str) -> Route:
    """Return what ``pattern`` takes from ``path``.

    Raises:
        NotFound: If it does not match.
        ValueError: If the pattern makes no sense.
    """
    route = compile_pattern(pattern).match(path)
    if route is None:
        shown = path[:_QUOTED_CHARACTERS]
        raise NotFound("", f"path {shown!r} does not match the pattern {pattern!r}")
    return route


def _segment(part: str, pattern: str) -> _Segment:
    if "*" in part:
        raise ValueError(f"pattern {pattern!r}: '*' must be its whole last segment")
    prefix, colon, name = part.rpartition(":")
    if not colon:
        return _Segment(part, None)
    if not name:
        raise ValueError(f"pattern {pattern!r}: a parameter has no name")
    if prefix.startswith(":"):
        raise ValueError(f"pattern {pattern!r}: two parameters in {part!r}")
    return _Segment(prefix, name)


def _split(path: str, count: int) -> list[str]:
    """Take the first ``count`` segments off a path; what is left is one more item."""
    # Each pass at least halves a run of slashes. Splitting at all of them first would
    # build 100,000 strings for a path that a client made of slashes.
    while "//" in path:
        path = path.replace("//", "/")
    path = path.strip("/")
    return path.split("/", count) if path else []


def _unquote(text: str) -> str:
    """URL-decode; as ``urllib.parse.unquote``, which may take 18 ms for 100 KB."""
    if "%" not in text:
        return text
    # Quoted-printable is the same with "=" for "%", and its decoder is written in C.
    data = text.encode("utf-8", "surrogatepass").replace(b"=", b"=3D")
    return a2b_qp(_ESCAPE.sub(b"=", data)).decode("utf-8", "replace")
