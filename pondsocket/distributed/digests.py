"""Digests: how far each link of a node has counted, in parts. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

__all__ = ["ChannelDigest", "DigestParts", "to_parts"]

PART_BYTES: Final = 60_000  # of 64 KiB (our protocol); the envelope needs the rest
MAX_PARTS: Final = 4096

ChannelDigest = tuple[str, str, str, int]
"""Endpoint, channel, ``sourceEpoch`` and the last ``sourceSeq`` that was used."""

_encode = msgspec.json.Encoder().encode


def to_parts(channels: Iterable[ChannelDigest]) -> list[list[ChannelDigest]]:
    """Divide a digest; without any channel there is one part, which is empty."""
    parts: list[list[ChannelDigest]] = [[]]
    size = 0
    for channel in channels:
        length = len(_encode(channel)) + 1
        if size + length > PART_BYTES and parts[-1]:
            parts.append([])
            size = 0
        parts[-1].append(channel)
        size += length
    return parts


@dataclass(slots=True)
class DigestParts:
    """The parts of one node's latest digest, as they arrive.

    Attributes:
        number: Which digest; they rise.
    """

    number: int = 0
    _earlier: int = 0
    _parts: dict[int, frozenset[tuple[str, str]]] = field(default_factory=dict)

    def add(
        self, number: int, part: int, parts: int, channels: Iterable[ChannelDigest]
    ) -> frozenset[tuple[str, str]] | None:
        """Take in a part; of an older digest it is ignored.

        But a second one in a row that rises is believed: the node began anew with its
        clock set back.

        Returns:
            The (endpoint, channel) pairs of the whole digest once all of it is here;
            else None.
        """
        if not 1 <= part <= parts <= MAX_PARTS:
            return None
        if number < self.number and not 0 < self._earlier < number:
            self._earlier = number
            return None
        self._earlier = 0
        if number != self.number:
            self.number = number
            self._parts = {}
        self._parts[part] = frozenset((e, c) for e, c, _, _ in channels)
        if len(self._parts) < parts:
            return None
        return frozenset().union(*self._parts.values())
