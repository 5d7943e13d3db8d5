"""Parameters: what a function takes of a message, as a pydantic model.

A field has the name of its parameter, unless pydantic's models use that name for
something else (``json``, ``copy``, ``_secret``): then the parameter's name is the
alias, and so still what clients write.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_type_hints

from pydantic import BaseModel, ValidationError, create_model
from pydantic_core import InitErrorDetails

from pondsocket_asgi.endpoints.messages import WebSocketEventMessage

__all__ = ["Parameters", "read_parameters"]

_ENDPOINT = "self"
_EVENT = "type"


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a function wants.

    Attributes:
        model: The message that it handles.
        takes_endpoint: Whether its first parameter, ``self``, is the endpoint.
        names: Name of the parameter for each field of the model but ``type``.
        settled: Parameters that are not the client's, even among ``**kwargs``.
    """

    model: type[WebSocketEventMessage]
    takes_endpoint: bool
    names: Mapping[str, str]
    settled: frozenset[str]

    def read(self, message: WebSocketEventMessage) -> dict[str, Any]:
        """Return the keyword arguments that a message stands for.

        Raises:
            ValidationError: If the message does not fit the model.
        """
        valid = self.model.model_validate(dict(message))
        extra = valid.model_extra or {}
        if settled := extra.keys() & self.settled:
            raise _unwanted(self.model, sorted(settled))
        arguments = {name: getattr(valid, field) for field, name in self.names.items()}
        return {**extra, **arguments}


def read_parameters(event: str, function: Callable[..., Any]) -> Parameters:
    """Return what a function wants of the messages of an event.

    Raises:
        TypeError: If a parameter cannot be a field, or an annotation means nothing.
    """
    parameters = list(inspect.signature(function).parameters.values())
    takes_endpoint = bool(parameters) and parameters[0].name == _ENDPOINT
    bound = frozenset(function.keywords if isinstance(function, partial) else ())
    hints = _read_hints(function)
    wanted = parameters[1:] if takes_endpoint else parameters
    fields = [each for each in wanted if _is_field(each, function, bound)]
    names = _name_fields([each.name for each in fields])
    definitions: dict[str, Any] = {_EVENT: (Literal[event], ...)}
    for name, parameter in zip(names, fields, strict=True):
        definitions[name] = (hints.get(parameter.name, Any), _default_of(parameter))
    rest = _find_rest(wanted)
    if rest is not None:  # pydantic's way to give a type to extra fields
        values: Any = hints.get(rest.name, Any)
        definitions["__pydantic_extra__"] = (dict[str, values], ...)
    model = create_model(
        getattr(function, "__name__", type(function).__name__),
        __base__=WebSocketEventMessage,
        __module__=getattr(function, "__module__", None) or __name__,
        __cls_kwargs__={
            "extra": "forbid" if rest is None else "allow",
            "use_enum_values": False,  # a function gets what its annotation says
            "protected_namespaces": (),
            "alias_generator": lambda name: names.get(name, name),
        },
        **definitions,
    )
    settled = bound | set(names.values()) | ({_ENDPOINT} if takes_endpoint else set())
    return Parameters(model, takes_endpoint, names, settled)


def _read_hints(function: Callable[..., Any]) -> dict[str, Any]:
    annotated: Any = function.func if isinstance(function, partial) else function
    if inspect.isclass(annotated):
        annotated = annotated.__init__
    elif not inspect.isroutine(annotated):  # an object that can be called
        annotated = type(annotated).__call__
    try:
        return get_type_hints(annotated, include_extras=True)
    except NameError as exc:
        raise TypeError(
            f"{_describe(function)}: the annotation {exc.name!r} is not to be found in "
            "the module that defines the function"
        ) from exc


def _is_field(
    parameter: inspect.Parameter, function: Callable[..., Any], bound: frozenset[str]
) -> bool:
    """Tell whether the client gives a parameter.

    Raises:
        TypeError: If no message could.
    """
    where = f"{_describe(function)}: the parameter {parameter.name!r}"
    if parameter.name == _EVENT:
        raise TypeError(f"{where} is the name of the event in every message")
    if parameter.kind is parameter.POSITIONAL_ONLY:
        raise TypeError(f"{where} is positional only, but fields have names")
    if parameter.kind is parameter.VAR_POSITIONAL:
        raise TypeError(f"*{parameter.name} of {_describe(function)} has no fields")
    return parameter.kind is not parameter.VAR_KEYWORD and parameter.name not in bound


def _name_fields(parameters: Iterable[str]) -> dict[str, str]:
    """Return the parameter for each field: names that pydantic lacks no use for."""
    names: dict[str, str] = {}
    taken = set(parameters)
    for parameter in parameters:
        name = parameter
        if name.startswith("_") or hasattr(BaseModel, name):
            name = f"field_{name.strip('_')}"
            while name in taken:
                name += "_"
        taken.add(name)
        names[name] = parameter
    return names


def _find_rest(parameters: Iterable[inspect.Parameter]) -> inspect.Parameter | None:
    return next((x for x in parameters if x.kind is x.VAR_KEYWORD), None)


def _default_of(parameter: inspect.Parameter) -> Any:  # noqa: ANN401 - anything at all
    return ... if parameter.default is parameter.empty else parameter.default


def _unwanted(model: type[BaseModel], names: Iterable[str]) -> ValidationError:
    lines = [
        InitErrorDetails(type="extra_forbidden", loc=(name,), input=None)
        for name in names
    ]
    return ValidationError.from_exception_data(model.__name__, lines)


def _describe(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", repr(function))
