"""Answers: from what a handler returned to the model of its response."""

from typing import Any, Literal

from pydantic import BaseModel, create_model
from pydantic_core import to_jsonable_python

from pondsocket_asgi.endpoints.messages import WebSocketEventMessage

__all__ = ["make_answer_model", "shape_answer"]


def make_answer_model(event: str) -> type[WebSocketEventMessage]:
    """Return the model of an answer with any fields and the type ``event``."""
    definitions: dict[str, Any] = {"type": (Literal[event], event)}
    return create_model("Answer", __base__=WebSocketEventMessage, **definitions)


def shape_answer(result: object, model: type[BaseModel], *, is_open: bool) -> BaseModel:
    """Return what a handler returned as an instance of ``model``.

    Args:
        result: A dict, a pydantic model, a dataclass; with a model of the application
            whatever that model can be made from.
        model: The response model.
        is_open: Whether ``model`` came from :func:`make_answer_model`. Its fields are
            the result's, in the form that the result itself has in JSON.

    Raises:
        ValidationError: If it does not fit.
        PydanticSerializationError: If there is no JSON for it.
    """
    if is_open:
        return model.model_validate(to_jsonable_python(result))
    if isinstance(result, model) and type(result) is not model:
        # fields of a subclass are not for the client
        shown = {name: getattr(result, name) for name in model.model_fields}
        return model.model_validate(shown, by_name=True, by_alias=False)
    return model.model_validate(result, from_attributes=True)
