"""Handler: one event, the function for it, and the models of both directions."""

import inspect
from collections.abc import Callable
from copy import copy
from functools import partial
from json import JSONDecodeError
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool

from pondsocket_asgi.endpoints.answers import make_answer_model, shape_answer
from pondsocket_asgi.endpoints.faults import HandlerError
from pondsocket_asgi.endpoints.messages import WebSocketEventMessage
from pondsocket_asgi.endpoints.parameters import read_parameters

__all__ = ["Handler"]


class Handler:
    """What happens to the messages of one event.

    A function that is not ``async`` runs in Starlette's pool of threads, and ends there
    even if its connection does not wait for it any more. If the first parameter is
    called ``self``, the function gets the endpoint there: see :meth:`bind`.

    Args:
        event: Name of the event.
        method: Called with the message's fields, by keyword.
        response_model: What it returns is validated against it. Without one it must
            return something with fields (a dict, a pydantic model, a dataclass), and
            the answer has the event's name as its ``type``.

    Attributes:
        event: Name of the event.
        method: The function as it was given.
        model: The messages that it takes: a pydantic model of the signature.
        response_model: The model of its answers.

    Raises:
        TypeError: If the event has no name, or a parameter cannot be a field: ``type``,
            ``*args``, one that is positional only, one whose annotation is unknown.
        PydanticUserError: If pydantic can make nothing of an annotation.
    """

    __slots__ = (
        "_call", "_has_open_answer", "_parameters", "event", "method", "model",
        "response_model",
    )  # fmt: skip

    def __init__(
        self,
        event: str,
        method: Callable[..., Any],
        response_model: type[BaseModel] | None = None,
    ) -> None:
        if not event:
            raise TypeError(f"the event of {method!r} has no name")
        if not callable(method):
            raise TypeError(f"the handler of {event!r} must be callable: {method!r}")
        self._parameters = read_parameters(event, method)
        self._has_open_answer = response_model is None
        self._call = method
        self.event: str = event
        self.method: Callable[..., Any] = method
        self.model: type[WebSocketEventMessage] = self._parameters.model
        self.response_model: type[BaseModel] = response_model or make_answer_model(
            event
        )

    def __repr__(self) -> str:
        return f"Handler({self.event!r}, {self.method!r})"

    def bind(self, endpoint: object) -> "Handler":
        """Return the handler for one connection, with its endpoint as ``self``."""
        if not self._parameters.takes_endpoint:
            return self
        bound: Handler = copy(self)
        bound._call = partial(self.method, endpoint)
        return bound

    async def handle(self, message: WebSocketEventMessage) -> BaseModel | None:
        """Validate a message, call the function, and return its validated answer.

        Returns:
            An instance of the response model, or None if the function returned None.

        Raises:
            ValidationError: If the message does not fit :attr:`model`.
            HandlerError: If the function's result does not fit the response model, or
                the function itself raised an error that reads like a client's.
            TypeError: If the function wants an endpoint and has none.
            Exception: Whatever else the function raised.
        """
        if self._parameters.takes_endpoint and self._call is self.method:
            raise TypeError(f"{self!r} takes an endpoint: bind() it first")
        result = await self._run(self._parameters.read(message))
        if result is None:
            return None
        try:
            return shape_answer(
                result, self.response_model, is_open=self._has_open_answer
            )
        except ValueError as exc:
            raise HandlerError(
                f"{self!r} returned {type(result).__name__}, which does not fit its "
                "response model"
            ) from exc

    async def _run(self, arguments: dict[str, Any]) -> object:
        call = partial(self._call, **arguments)
        try:
            if _is_coroutine_function(self.method):
                return await call()
            result = await run_in_threadpool(call)
            # a plain function around a coroutine function
            return await result if inspect.isawaitable(result) else result
        except (ValidationError, JSONDecodeError) as exc:
            raise HandlerError(f"{self!r} failed at data of its own") from exc


def _is_coroutine_function(function: Callable[..., Any]) -> bool:
    while isinstance(function, partial):
        function = function.func
    is_coroutine_function = inspect.iscoroutinefunction
    return is_coroutine_function(function) or is_coroutine_function(
        type(function).__call__
    )
