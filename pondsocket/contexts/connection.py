"""ConnectionContext: decides whether a handshake becomes a connection."""

from enum import StrEnum
from typing import Any, Self

from pondsocket.errors import BadRequest
from pondsocket.event_names import check_event_name
from pondsocket.types import (
    Headers,
    IncomingConnection,
    PondAssigns,
    PondMessage,
    Route,
)

__all__ = ["ConnectionContext", "ConnectionDecision"]


class ConnectionDecision(StrEnum):
    """What a connection handler decided."""

    PENDING = "PENDING"
    ACCEPTED = "ACCEPTED"
    DECLINED = "DECLINED"


class ConnectionContext:
    """One handshake, seen by the endpoint's connection handler.

    All methods are plain. A handler that decides nothing declines with 401.

    Args:
        user_id: The id that the connection's user gets.
        request: What the client sent.
        route: What the endpoint's pattern found in the path.
    """

    def __init__(
        self, *, user_id: str, request: IncomingConnection, route: Route | None = None
    ) -> None:
        self.user_id = user_id
        self.request = request
        self.route: Route = route or Route(
            dict(request.params), {name: [one] for name, one in request.query.items()}
        )
        self._assigns: PondAssigns = {}
        self._decision = ConnectionDecision.PENDING
        self._decline_info: tuple[int, str] | None = None
        self._reply: tuple[str, PondMessage] | None = None

    @property
    def headers(self) -> Headers:
        """The handshake's headers."""
        return self.request.headers

    @property
    def cookies(self) -> dict[str, str]:
        """The handshake's cookies."""
        return self.request.cookies

    @property
    def query(self) -> dict[str, str]:
        """The query parameters; of repeated ones the first."""
        return self.request.query

    @property
    def params(self) -> dict[str, str]:
        """The parameters in the endpoint's path."""
        return self.request.params

    @property
    def address(self) -> str:
        """The client's address, as the host tells it; empty if it does not."""
        return self.request.address

    @property
    def assigns(self) -> PondAssigns:
        """A copy of what was assigned so far."""
        return dict(self._assigns)

    @property
    def decision(self) -> ConnectionDecision:
        """What was decided so far."""
        return self._decision

    @property
    def is_accepted(self) -> bool:
        """Whether the connection was accepted."""
        return self._decision is ConnectionDecision.ACCEPTED

    @property
    def is_declined(self) -> bool:
        """Whether the connection was declined."""
        return self._decision is ConnectionDecision.DECLINED

    @property
    def decline_info(self) -> tuple[int, str] | None:
        """The code and message of the refusal, None if it was not declined."""
        return self._decline_info

    @property
    def pending_reply(self) -> tuple[str, PondMessage] | None:
        """The event and payload to send after ``CONNECTION``, None if there is none."""
        return self._reply

    def accept(self, **assigns: Any) -> Self:  # noqa: ANN401 - the application's own
        """Accept the connection and set assigns, ``user_id`` being one like any other.

        Raises:
            BadRequest: If something was decided already.
        """
        self._decide(ConnectionDecision.ACCEPTED)
        self._assigns.update(assigns)
        return self

    def decline(self, code: int, message: str) -> Self:
        """Refuse the connection.

        Args:
            code: An HTTP status (100-999) or a WebSocket close code (1000-4999).
            message: For the client.

        Raises:
            BadRequest: If something was decided already.
        """
        self._decide(ConnectionDecision.DECLINED)
        self._decline_info = (code, message)
        return self

    def reply(self, event: str, payload: PondMessage | None = None) -> Self:
        """Send an event right after ``CONNECTION``; accepts if nothing was decided.

        Raises:
            BadRequest: If the connection was declined or the event's name is taken.
        """
        if self.is_declined:
            raise BadRequest("", "the connection was declined, it gets no reply")
        check_event_name(event, "")
        if not self.is_accepted:
            self.accept()
        self._reply = (event, payload or {})
        return self

    def set_assign(self, key: str, value: Any) -> Self:  # noqa: ANN401 - as above
        """Set one assign of the connection."""
        self._assigns[key] = value
        return self

    def set_assigns(self, **assigns: Any) -> Self:  # noqa: ANN401 - as above
        """Set several assigns of the connection."""
        self._assigns.update(assigns)
        return self

    def get_assign(self, key: str) -> Any:  # noqa: ANN401 - as above
        """Return one assign, None if it is not set."""
        return self._assigns.get(key)

    def _decide(self, decision: ConnectionDecision) -> None:
        if self._decision is not ConnectionDecision.PENDING:
            raise BadRequest("", f"the connection was {self._decision.lower()} already")
        self._decision = decision
