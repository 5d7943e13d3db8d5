"""BroadcastWriter: the broadcasts of one link as bytes, around what clients get. Pure.

Nearly all that a link sends are broadcasts, and the JSON that clients get holds most of
what a ``USER_MESSAGE`` says, under the same names. So it is taken over as it stands.
What is written means what ``encode`` of the same ``UserMessage`` would.
"""

import msgspec

from pondsocket.distributed.messages import (
    PROTOCOL,
    VERSION,
    descriptor_of,
    sender_of,
)
from pondsocket.frame import Frame
from pondsocket.types import AllUsers, RecipientSpec

__all__ = ["BroadcastWriter"]

_to_json = msgspec.json.Encoder().encode


class BroadcastWriter:
    """Writes what one link broadcasts.

    Args:
        node_id: This node.
        endpoint: The endpoint's path without its leading slash.
        epoch: Which life of the link it is.
    """

    __slots__ = ("_head", "_to_all")

    def __init__(self, node_id: str, endpoint: str, epoch: str) -> None:
        self._head = (
            f'"sourceNodeId":{_text(node_id)},"endpointName":{_text(endpoint)},'
            f'"sourceEpoch":{_text(epoch)},"timestamp":'
        )
        self._to_all = _recipients(AllUsers())

    def write(
        self, frame: Frame, recipients: RecipientSpec, id: str, number: int, now: int
    ) -> bytes:
        """Return a message as it travels.

        Args:
            frame: What clients get.
            recipients: Which of them.
            id: The message's; ASCII without quotes.
            number: The message's in this life of the link.
            now: The time of day in milliseconds.
        """
        to = self._to_all if type(recipients) is AllUsers else _recipients(recipients)
        return (
            f'{_BEGIN}{id}",{self._head}{now},"sourceSeq":{number},{to},{frame.body}}}'
        ).encode()


_BEGIN = (
    f'{{"protocol":"{PROTOCOL}","version":{VERSION},"type":"USER_MESSAGE","messageId":"'
)


def _recipients(recipients: RecipientSpec) -> str:
    sender, descriptor = sender_of(recipients), descriptor_of(recipients)
    return f'"fromUserId":{_text(sender)},"recipientDescriptor":{_text(descriptor)}'


def _text(value: object) -> str:
    return _to_json(value).decode()
