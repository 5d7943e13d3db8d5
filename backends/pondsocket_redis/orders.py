"""Orders: the subscription commands under way on one connection; it does no I/O.

A server confirms each name of a command by itself and in order, or refuses the whole
command by one error. Both come without a number, so who ordered must keep count.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pondsocket_redis.names import SHARDED, Name
from pondsocket_redis.wire import encode_command

__all__ = ["Orders"]

_AT_ONCE: Final = 500  # names in one command


@dataclass(slots=True)
class _Order:
    """A command, and its names that are not confirmed yet."""

    verb: bytes
    kind: bytes
    texts: set[bytes]
    is_subscribe: bool


class Orders:
    """What was asked of the server on this connection and what it has confirmed."""

    def __init__(self) -> None:
        self._under_way: deque[_Order] = deque()
        self._unconfirmed: dict[Name, int] = {}
        self._on_server: set[Name] = set()
        self._suspects: set[Name] = set()

    def is_settled(self, name: Name) -> bool:
        """Tell whether a name is subscribed and the server has confirmed it."""
        return name in self._on_server and name not in self._unconfirmed

    def order(self, names: Iterable[Name], wanted: dict[Name, None]) -> list[bytes]:
        """Return the commands that bring ``names`` from what is to what is wanted."""
        groups: dict[tuple[bool, bytes], list[bytes]] = {}
        commands: list[bytes] = []
        for name in names:
            is_subscribe = name in wanted
            if is_subscribe == (name in self._on_server):
                continue
            if is_subscribe:
                self._on_server.add(name)
                self._unconfirmed[name] = self._unconfirmed.get(name, 0) + 1
            else:
                self._on_server.discard(name)
            if name.kind == SHARDED or name in self._suspects:
                # Names of one sharded command would have to be of one slot.
                commands.append(self._begin(is_subscribe, name.kind, [name.text]))
            else:
                groups.setdefault((is_subscribe, name.kind), []).append(name.text)
        for (is_subscribe, kind), texts in groups.items():
            for start in range(0, len(texts), _AT_ONCE):
                part = texts[start : start + _AT_ONCE]
                commands.append(self._begin(is_subscribe, kind, part))
        return commands

    def confirm(self, verb: bytes, text: bytes) -> Name | None:
        """Take a confirmation; return the name if it is subscribed by that.

        None also for what ended by order. What the server ended by itself, as it does
        when a slot moves, is noted as gone: see :meth:`is_settled`.
        """
        head = self._under_way[0] if self._under_way else None
        if head is None or head.verb != verb or text not in head.texts:
            if verb == b"sunsubscribe":
                self._on_server.discard(Name(SHARDED, text))
            return None
        head.texts.discard(text)
        if not head.texts:
            self._under_way.popleft()
        name = Name(head.kind, text)
        return name if head.is_subscribe and self._count_down(name) else None

    def refuse(self) -> list[Name]:
        """Take an error; return the names that are not subscribed by that.

        Of several names one may be to blame: each is ordered by itself the next time.
        """
        if not self._under_way:
            return []
        head = self._under_way.popleft()
        names = [Name(head.kind, text) for text in head.texts]
        if not head.is_subscribe:
            return []
        for name in names:
            self._count_down(name)
            self._on_server.discard(name)
        return names

    def suspect(self, names: Iterable[Name]) -> None:
        """Order these names each by itself from now on."""
        self._suspects.update(names)

    def _begin(self, is_subscribe: bool, kind: bytes, texts: list[bytes]) -> bytes:
        verb = kind + (b"SUBSCRIBE" if is_subscribe else b"UNSUBSCRIBE")
        self._under_way.append(_Order(verb.lower(), kind, set(texts), is_subscribe))
        return encode_command(verb, *texts)

    def _count_down(self, name: Name) -> bool:
        left = self._unconfirmed.get(name, 1) - 1
        if left:
            self._unconfirmed[name] = left
            return False
        self._unconfirmed.pop(name, None)
        return name in self._on_server
