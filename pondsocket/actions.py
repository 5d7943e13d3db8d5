"""Actions: what a client's message does, by a table of the protocol's three actions.

It holds no state. A message is handled in its channel's lane; whatever the application
raises on the way ends here, as an answer to the client, one log entry and a count.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVarTuple

from pondsocket.callbacks import attempt, attempt_within, is_contained
from pondsocket.channel import Channel
from pondsocket.contexts.event import EventContext
from pondsocket.contexts.join import JoinContext
from pondsocket.errors import BadRequest, EncodingError, PondError, is_refusal
from pondsocket.hooks import Hooks, run_hook
from pondsocket.lobby import Lobby, Registered
from pondsocket.metrics import Telemetry
from pondsocket.options import Options
from pondsocket.session import NOWHERE, Session
from pondsocket.types import (
    ClientActions,
    ErrorTypes,
    Event,
    MessageEvent,
    PondMessage,
    Route,
    ServerActions,
    SystemEntity,
    SystemEvents,
)
from pondsocket.wire import error_event

__all__ = ["Actions"]

logger: logging.Logger = logging.getLogger(__name__)

Args = TypeVarTuple("Args")

_Act: TypeAlias = Callable[[Session, Event], Awaitable[None] | None]

GATEWAY = SystemEntity.GATEWAY.value
REMEMBERED_CHANNELS = 1024
FIRST_PRINTABLE = " "  # what sorts below it are control characters


class Actions:
    """Carries out what clients of one endpoint ask for.

    Args:
        find_lobby: Returns the lobby of a channel's name, and what its pattern found.
        options: Limits and hooks.
        telemetry: The framework's.
    """

    def __init__(
        self,
        find_lobby: Callable[[str], tuple[Lobby, Route] | None],
        options: Options,
        telemetry: Telemetry,
    ) -> None:
        self._find_lobby = find_lobby
        self._options = options
        self._hooks = options.hooks or Hooks()
        self._telemetry = telemetry
        self._measuring = telemetry.measuring
        self._lobbies: dict[str, Lobby] = {}  # of some channels that live
        self._table: dict[str, _Act] = {
            ClientActions.JOIN_CHANNEL.value: self._join,
            ClientActions.LEAVE_CHANNEL.value: self._leave,
            ClientActions.BROADCAST.value: self._message,
        }

    async def perform(self, session: Session, event: Event) -> None:
        """Carry out one message; only a cancellation of the caller's task is raised."""
        try:
            if event.channel_name == GATEWAY:  # reserved
                self._answer_not_found(session, event)
                return
            work = self._table.get(event.action, self._refuse)(session, event)
            if work is not None:
                await work
        except BaseException as error:
            if not is_contained(error):
                raise
            self._report("action", error, session)
            self._answer_error(session, event, error)

    # Join and leave.

    async def _join(self, session: Session, event: Event) -> None:
        name = event.channel_name
        if name in session.channels:
            self._answer(session, event, SystemEvents.ACKNOWLEDGE, {})
            return
        refusal = self._refusal(session, name)
        if refusal is not None:
            code, message = refusal
            payload = {"code": code, "message": message}
            self._telemetry.count("refused")
            self._answer(session, event, SystemEvents.UNAUTHORIZED, payload)
            return
        found = self._find_lobby(name)
        if found is None:
            self._answer_not_found(session, event)
            return
        lobby, route = found
        try:
            channel = lobby.open(name)
        except BadRequest as error:  # a name that other nodes cannot be told
            payload = {"code": error.code, "message": error.message}
            self._telemetry.count("refused")
            self._answer(session, event, SystemEvents.UNAUTHORIZED, payload)
            return
        session.joining |= {name}
        try:
            async with channel.held():
                context = JoinContext(
                    channel=channel,
                    event=event,
                    transport=session.transport,
                    route=route,
                )
                await self._run_join(session, lobby.join, context)
        finally:
            session.joining = session.joining - {name} or NOWHERE

    def _refusal(self, session: Session, name: str) -> tuple[int, str] | None:
        options = self._options
        limit = options.max_channel_name_length
        if limit and len(name.encode()) > limit:
            return 400, f"channelName is longer than {limit} bytes"
        if min(name) < FIRST_PRINTABLE:
            return 400, "channelName holds a control character"
        limit = options.max_channels_per_connection
        # an accepted join may still be in progress: it counts once
        joining = sum(other not in session.channels for other in session.joining)
        if limit and len(session.channels) + joining >= limit:
            return 429, f"at most {limit} channels for a connection"
        return None

    async def _run_join(
        self, session: Session, join: Registered[JoinContext], context: JoinContext
    ) -> None:
        hooks, user, name = self._hooks, context.user, context.channel.name
        await self._run_hook(hooks.before_join, user, name)
        error = await attempt(join.run, context)
        if error is not None:
            self._report("join_handler", error, session)
        if not context.has_responded:
            await context.decline(*_why_declined(error))
        if context.is_accepted:
            await self._run_hook(hooks.after_join, context.user, name)

    async def _leave(self, session: Session, event: Event) -> None:
        _, channel = self._find(event.channel_name)
        if channel is not None and channel.name in session.channels:
            await channel.leave(session.id, event.request_id)

    def _find(self, name: str) -> tuple[Lobby | None, Channel | None]:
        """Return the lobby of a channel's name, and the channel if it lives.

        A name's lobby is always the same one, so it is looked for but once.
        """
        lobby = self._lobbies.get(name)
        if lobby is not None:
            return lobby, lobby.find(name)
        found = self._find_lobby(name)
        if found is None:
            return None, None
        lobby, channel = found[0], found[0].find(name)
        if channel is not None:
            if len(self._lobbies) >= REMEMBERED_CHANNELS:
                self._lobbies.clear()
            self._lobbies[channel.name] = lobby
        return lobby, channel

    # Messages.

    def _message(self, session: Session, event: Event) -> Awaitable[None] | None:
        lobby, channel = self._find(event.channel_name)
        if lobby is None or channel is None:
            self._answer_not_found(session, event)
        elif channel.name not in session.channels:  # it must not learn who is there
            self._telemetry.count("not_member")
        else:
            return self._handle(session, event, channel, lobby)
        return None

    async def _handle(
        self, session: Session, event: Event, channel: Channel, lobby: Lobby
    ) -> None:
        sender = channel.see_member(session.id)
        hooks, error = self._hooks, None
        if hooks.before_message is not None:
            timeout = self._options.handler_timeout
            error = await attempt_within(timeout, hooks.before_message, event)
        if error is None:
            registered = lobby.find_handler(event.event)
            if registered is None:
                self._answer_no_handler(session, event)
            else:
                context = EventContext(
                    channel=channel,
                    message=MessageEvent(event, sender),
                    transport=session.transport,
                    pattern=registered.pattern,
                    has_shared_presence=True,
                )
                error = await self._run_handler(registered, context)
        if error is not None:
            self._report("message_handler", error, session)
            self._answer_error(session, event, error)
        if hooks.after_message is not None:
            await self._run_hook(hooks.after_message, event, error)

    def _run_handler(
        self, registered: Registered[EventContext], context: EventContext
    ) -> Awaitable[BaseException | None]:
        if self._measuring:
            return self._measure_handler(registered, context)
        return attempt(registered.run, context)

    async def _measure_handler(
        self, registered: Registered[EventContext], context: EventContext
    ) -> BaseException | None:
        started = time.perf_counter()
        try:
            return await attempt(registered.run, context)
        finally:
            duration = time.perf_counter() - started
            self._telemetry.handler_duration(context.event_name, duration)

    def _refuse(self, session: Session, event: Event) -> None:
        """Answer an action that no codec lets through, but a custom transport may."""
        self._telemetry.count("malformed")
        expected = ", ".join(self._table)
        answer = Event(
            ServerActions.ERROR,
            SystemEntity.GATEWAY,
            event.request_id,
            ErrorTypes.INVALID_MESSAGE,
            {"error": f"action: expected {expected}, got {event.action[:100]!r}"},
        )
        session.send(answer)

    # Answers and failures.

    async def _run_hook(
        self, hook: Callable[[*Args], object] | None, *args: *Args
    ) -> None:
        timeout = self._options.handler_timeout
        await run_hook(hook, *args, telemetry=self._telemetry, timeout=timeout)

    def _answer(
        self, session: Session, event: Event, name: str, payload: PondMessage
    ) -> None:
        session.send(
            Event(
                ServerActions.SYSTEM,
                event.channel_name,
                event.request_id,
                name,
                payload,
            )
        )

    def _answer_not_found(self, session: Session, event: Event) -> None:
        payload = {"channel": event.channel_name}
        self._answer(session, event, SystemEvents.NOT_FOUND, payload)

    def _answer_no_handler(self, session: Session, event: Event) -> None:
        answer = Event(
            ServerActions.ERROR,
            event.channel_name,
            event.request_id,
            ErrorTypes.HANDLER_NOT_FOUND,
            {"code": 404, "message": f"No handler for event {event.event!r}"},
        )
        session.send(answer)

    def _answer_error(
        self, session: Session, event: Event, error: BaseException
    ) -> None:
        answer = error_event(error)
        answer.channel_name = event.channel_name
        answer.request_id = event.request_id
        try:
            session.send(answer)
        except BadRequest:
            logger.warning("an error's details cannot be encoded", exc_info=True)
            answer.payload["details"] = None
            session.send(answer)

    def _report(self, component: str, error: BaseException, session: Session) -> None:
        """Count and log what the application raised.

        A refusal is no failure, and neither is what the library says to a handler
        whose client left meanwhile.
        """
        says_no = is_refusal(error) or (
            session.is_ended and isinstance(error, PondError)
        )
        self._telemetry.count("refused" if says_no else "handler_failed")
        self._telemetry.error(component, error)
        if says_no:
            logger.debug("%s refused: %s", component, error)
        else:
            logger.error("%s failed", component, exc_info=error)


def _why_declined(error: BaseException | None) -> tuple[int, str]:
    if error is None:
        return 401, "Join handler did not respond"
    if isinstance(error, PondError) and not isinstance(error, EncodingError):
        return error.code, error.message
    return 500, "Internal server error"
