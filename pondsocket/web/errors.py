"""Errors by which a host's side of an exchange ends; none of them is ours."""

__all__ = ["BodyTooLarge", "ClientLeft"]


class BodyTooLarge(Exception):  # noqa: N818 - it is the client's, not ours
    """The request's body is above the limit."""


class ClientLeft(Exception):  # noqa: N818 - as above
    """The client went away: before its request was complete, or from its WebSocket."""
