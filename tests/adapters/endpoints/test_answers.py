"""The models of answers, and what fits them."""

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pondsocket_asgi.endpoints.answers import make_answer_model, shape_answer


class Reply(BaseModel):
    model_config = ConfigDict(extra="allow")

    text: str = Field(alias="theText")


class FullReply(Reply):
    secret: str


def test_an_answer_without_a_model_always_has_its_type():
    model = make_answer_model("greet")

    assert model().model_dump() == {"type": "greet"}
    with pytest.raises(ValidationError):
        model(type="other")


def test_an_answer_without_a_model_takes_what_json_has():
    with pytest.raises(ValueError, match="Unable to serialize unknown type"):
        shape_answer({"x": object()}, make_answer_model("greet"), is_open=True)


def test_a_subclass_is_cut_to_the_model():
    full = FullReply(theText="hi", secret="12345", more=1)

    answer = shape_answer(full, Reply, is_open=False)

    assert answer.model_dump() == {"text": "hi"}
    assert type(answer) is Reply


def test_an_instance_of_the_model_is_the_answer():
    reply = Reply(theText="hi", more=1)

    assert shape_answer(reply, Reply, is_open=False) is reply
