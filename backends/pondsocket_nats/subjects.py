"""Subjects: how a topic is written at the server. No I/O.

A topic becomes one token: what is not ``A-Za-z0-9_:/-`` is percent-encoded, byte by
byte of its UTF-8. So no text in a topic, such as a channel's name that a client chose,
separates tokens, matches others or ends the line of a command::

    pondsocket:v1:default:chat:/room/1   ->   the same
    a.b *>                               ->   a%2Eb%20%2A%3E
    (the empty topic)                    ->   %
"""

import re
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

from pondsocket import BadRequest

__all__ = ["LONGEST_SUBJECT", "to_subject", "to_topic"]

# A server cuts off who sends a command line above 4096 bytes (max_control_line), and a
# line holds a reply subject and numbers too.
LONGEST_SUBJECT: Final = 3840

_EMPTY: Final = "%"  # no other topic ends in a lone percent sign
_PLAIN: Final = re.compile(r"[A-Za-z0-9_:/-]+")
_OTHER: Final = re.compile(rb"[^A-Za-z0-9_:/-]")


@lru_cache(maxsize=4096)
def to_subject(topic: str) -> str:
    """Return the subject of ``topic``; different topics have different subjects.

    Raises:
        BadRequest: If the subject is longer than a server takes, 3840 bytes.
    """
    if _PLAIN.fullmatch(topic):
        subject = topic
    else:
        # A lone surrogate is no text, but it is a topic of its own nevertheless.
        data = topic.encode("utf-8", "surrogatepass")
        subject = _OTHER.sub(_escape, data).decode("ascii") or _EMPTY
    if len(subject) > LONGEST_SUBJECT:
        raise BadRequest(
            "",
            f"a topic takes at most {LONGEST_SUBJECT} bytes as a subject of NATS, "
            f"{topic[:60]!r}... takes {len(subject)}",
        )
    return subject


def to_topic(subject: str) -> str:
    """Return the topic whose subject this is.

    Raises:
        ValueError: If no topic has that subject.
    """
    try:
        topic = unquote_to_bytes(subject).decode("utf-8", "surrogatepass")
        if subject == _EMPTY:
            topic = ""
        if to_subject(topic) == subject:
            return topic
    except (UnicodeError, BadRequest) as error:
        raise ValueError(f"not the subject of a topic: {subject[:60]!r}") from error
    raise ValueError(f"not the subject of a topic: {subject[:60]!r}")


def _escape(match: re.Match[bytes]) -> bytes:
    return b"%%%02X" % ord(match[0])
