"""WebSocketHandlingEndpoint: the life of one connection, from handlers of a class.

Starlette makes an instance for each connection and awaits it. Messages are handled one
after the other: the next is read when the answer to the last is on its way, so a client
that sends faster than it is served waits at its host. So does one that says nothing:
how long it may is the host's matter, with its pings.
"""

import logging
from collections.abc import Callable, Generator
from typing import Any, overload

from pydantic import BaseModel
from pydantic_core import to_json, to_jsonable_python
from starlette.exceptions import WebSocketException
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from pondsocket_asgi.endpoints import faults
from pondsocket_asgi.endpoints.class_body import ClassBody, find_declaration
from pondsocket_asgi.endpoints.collection import ATTACHED, Attached, collect_handlers
from pondsocket_asgi.endpoints.handler import Handler
from pondsocket_asgi.endpoints.marks import Function, default_event
from pondsocket_asgi.endpoints.messages import (
    WebSocketEventMessage,
    read_message,
    unknown_event,
)
from pondsocket_asgi.endpoints.tracked_websocket import TrackedWebSocket

__all__ = ["HandlingEndpointMeta", "WebSocketHandlingEndpoint"]

logger: logging.Logger = logging.getLogger(__name__)

_INTERNAL_ERROR = 1011  # RFC 6455, 7.4.1


class HandlingEndpointMeta(type):
    """Gives each class of endpoints its ``handlers``.

    Attributes:
        handlers: The class's handlers by event.
    """

    handlers: dict[str, Handler]

    @classmethod
    def __prepare__(
        cls,
        name: str,
        bases: tuple[type, ...],
        /,
        **kwargs: Any,  # noqa: ANN401 - for __new__
    ) -> ClassBody:
        """Return what the body of a class is defined in.

        It raises ValueError for a second definition of a handler, at its line.
        """
        return ClassBody(name)

    def __new__(
        mcs,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        **kwargs: Any,  # noqa: ANN401 - handed on
    ) -> "HandlingEndpointMeta":
        """Make a class.

        Raises:
            ValueError: If two functions handle the same event.
            TypeError: If one of them cannot be a handler, or has the name of a part of
                an endpoint's life.
        """
        cls = super().__new__(mcs, name, bases, namespace, **kwargs)
        setattr(cls, ATTACHED, {})
        cls.handlers = collect_handlers(cls)
        return cls


class WebSocketHandlingEndpoint(metaclass=HandlingEndpointMeta):
    """A JSON API over one WebSocket, to be derived from::

        class Greeter(WebSocketHandlingEndpoint):
            @on_event
            async def greet(self, name: str) -> dict[str, str]:
                return {"text": f"Hello {name}"}


        app = Starlette(routes=[WebSocketRoute("/greeter", Greeter)])

    ``{"type": "greet", "name": "Ada"}`` is answered with
    ``{"type": "greet", "text": "Hello Ada"}``, and what makes no sense with
    ``{"errors": [{"type": "missing", "loc": ["name"], "msg": "Field required"}]}``.

    Attributes:
        handlers: The class's handlers by event; an instance has them bound to itself.
            A subclass takes over what its bases have when it is defined. What is
            attached to a base later is not among them.
        max_message_size: Characters of a text frame, bytes of a binary one, that a
            message may have; 0 for as many as the host lets through. What is longer is
            answered with an error. It is a limit of work: to find all that is wrong in
            64 KiB takes a tenth of a second, and grows with the size.
        websocket: Starlette's object for the connection.
    """  # noqa: D415 - what comes next is the class that it speaks of

    handlers: dict[str, Handler] = {}  # noqa: RUF012 - the metaclass gives each its own
    max_message_size: int = 65_536
    websocket: WebSocket

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._connection = TrackedWebSocket(scope, receive, send)
        self.websocket = self._connection
        self.handlers = {
            event: handler.bind(self) for event, handler in type(self).handlers.items()
        }

    def __init_subclass__(cls, **kwargs: Any) -> None:  # noqa: ANN401 - handed on
        """Refuse handlers that would stand in for the life cycle.

        Raises:
            TypeError: If one, of a mixin too, has the name of an attribute of this
                class.
        """
        super().__init_subclass__(**kwargs)
        reserved = {*vars(WebSocketHandlingEndpoint), "websocket"}
        for owner in cls.__mro__:
            for name in reserved & vars(owner).keys():
                if find_declaration(vars(owner)[name]) is not None:
                    raise TypeError(
                        f"{owner.__qualname__}.{name} is part of an endpoint's life "
                        "and no handler: call the function otherwise"
                    )

    def __await__(self) -> Generator[Any, None, None]:
        return self.dispatch().__await__()

    @overload
    @classmethod
    def on_event(cls, event: Function) -> Function: ...

    @overload
    @classmethod
    def on_event(
        cls, event: str | None = None, response_model: type[BaseModel] | None = None
    ) -> Callable[[Function], Function]: ...

    @classmethod
    def on_event(
        cls,
        event: Callable[..., Any] | str | None = None,
        response_model: type[BaseModel] | None = None,
    ) -> Callable[..., Any]:
        """Attach a function to the class; the arguments of the other ``on_event``.

        The function gets the endpoint if its first parameter is called ``self``. See
        :meth:`attach_handler` for who has the handler then.

        Raises:
            ValueError: If the event has a handler.
            TypeError: If the function cannot be a handler.
        """
        given = event if isinstance(event, str) else None

        def attach(function: Function) -> Function:
            name = default_event(function) if given is None else given
            cls.attach_handler(Handler(name, function, response_model))
            return function

        return attach(event) if callable(event) else attach

    @classmethod
    def attach_handler(cls, handler: Handler, overwrite_existing: bool = False) -> None:
        """Add a handler to the class, for connections that begin from now on.

        Classes that are derived from this one later have it too. Those that exist
        already, and bases and siblings, do not.

        Args:
            handler: The handler.
            overwrite_existing: Whether it may replace the handler of its event.

        Raises:
            ValueError: If its event has a handler that it may not replace.
        """
        existing = cls.handlers.get(handler.event)
        if existing is not None and not overwrite_existing:
            raise ValueError(
                f"{cls.__qualname__}: {existing.method!r} handles {handler.event!r}"
            )
        attached: dict[str, Attached] = vars(cls)[ATTACHED]
        previous = attached.get(handler.event)
        overwrites = existing is not None if previous is None else previous.overwrites
        attached[handler.event] = Attached(handler, overwrites)
        cls.handlers[handler.event] = handler

    async def dispatch(self) -> None:
        """Serve the connection until it ends; whoever routes to the class awaits it.

        Raises:
            Exception: What a method that the class overrides raised, and whatever
                ``on_connect`` raised that is not about closing. The host closes then.
        """
        connection = self._connection
        try:
            await self.on_connect()
        except (WebSocketDisconnect, WebSocketException) as exc:
            await connection.end(exc)
            return
        close_code = _INTERNAL_ERROR  # of exceptions, and of a host that cancels
        try:
            close_code = await self._serve(connection)
        finally:
            await self.on_disconnect(close_code)

    async def on_connect(self) -> None:
        """Accept the connection; override it to look at the client first.

        What overrides it calls ``await self.websocket.accept()`` or closes. If it
        raises, :meth:`on_disconnect` is not called.
        """
        await self.websocket.accept()

    async def on_disconnect(self, close_code: int) -> None:
        """Do nothing; override it to clean up.

        Called once, after :meth:`on_connect` returned, whatever ended the connection.

        Args:
            close_code: What the client or the application closed with; 1005 if the
                client gave no code, 1006 if it vanished, 1011 if an exception or a
                cancellation ended the connection.
        """

    async def on_receive(self, message: WebSocketEventMessage) -> None:
        """Let the handler of a message handle it, and send what it answers.

        Raises:
            ValidationError: If the message does not fit a handler.
            Exception: Whatever the handler raised.
        """
        handler = self.handlers.get(message.type)
        if handler is None:
            raise unknown_event(self.handlers)
        response = await handler.handle(message)
        if response is not None:
            await self.send_json(response)

    async def send_exception(self, exc: Exception) -> None:
        """Tell the client of an exception, as ``{"errors": [...]}``.

        Called with all that reading a message and :meth:`on_receive` raise, but
        for Starlette's exceptions that close the connection. It is in the log by then
        if it is not the client's. If this raises, the connection ends.
        """
        await self.send_json({"errors": faults.describe(exc)})

    async def send_json(self, response: Any) -> None:  # noqa: ANN401 - models, dicts, ...
        """Send anything that pydantic can turn into JSON, as a text frame.

        It may wait as long as the client does not read. Numbers that JSON has not
        (NaN, infinities) are sent as null. Once the connection is closed, nothing is
        sent.

        Raises:
            ValueError: If there is no JSON for it.
            RuntimeError: If the connection is not accepted yet.
            WebSocketDisconnect: If the client is gone.
        """
        text = to_json(to_jsonable_python(response), inf_nan_mode="null").decode()
        connection = self._connection
        if connection.is_open or connection.is_pending:  # too early is an error
            await connection.send_text(text)
        else:
            logger.debug("an answer came after the end of its connection")

    async def _serve(self, connection: TrackedWebSocket) -> int:
        """Handle what the client sends until the end; return the code of the close."""
        if connection.is_pending:
            raise RuntimeError(
                f"{type(self).__qualname__}.on_connect neither accepted nor closed"
            )
        try:
            while (frame := await connection.next_frame()) is not None:
                await self._handle_frame(frame)
        except (WebSocketDisconnect, WebSocketException) as exc:
            await connection.end(exc)
        return await connection.find_close_code()

    async def _handle_frame(self, frame: str | bytes) -> None:
        try:
            await self.on_receive(read_message(frame, self.max_message_size))
        except (WebSocketDisconnect, WebSocketException):
            raise
        except Exception as exc:  # noqa: BLE001 - the rim: handlers may raise anything
            faults.log_failure(exc)
            await self.send_exception(exc)
