import asyncio

import pytest

from pondsocket.distributed.lookups import Lookups
from pondsocket.distributed.messages import UserGetResponse
from pondsocket.types import User


def answer_to(request_id, **members):
    return UserGetResponse(
        message_id="m",
        source_node_id="n",
        endpoint_name="chat",
        channel_name="/room",
        timestamp=0,
        user_id="ann",
        request_id=request_id,
        **members,
    )


async def test_the_first_answer_counts():
    lookups = Lookups(timeout=5)
    lookups.begin("r")

    lookups.answer(answer_to("r", assigns={"a": 1}, presence={"is": "here"}))
    lookups.answer(answer_to("r"))

    assert await lookups.result("r") == User("ann", {"a": 1}, {"is": "here"})


async def test_an_empty_presence_is_none():
    lookups = Lookups(timeout=5)
    lookups.begin("r")

    lookups.answer(answer_to("r", presence={}))

    assert await lookups.result("r") == User("ann", {}, None)


async def test_nobody_is_found_without_an_answer_in_time():
    lookups = Lookups(timeout=0.001)
    lookups.begin("r")

    assert await lookups.result("r") is None


async def test_an_answer_to_nobodys_question_is_ignored():
    Lookups(timeout=5).answer(answer_to("r"))


@pytest.mark.parametrize("is_answered", [True, False])
async def test_closing_ends_those_under_way(is_answered):
    lookups = Lookups(timeout=5)
    lookups.begin("r")
    if is_answered:
        lookups.answer(answer_to("r"))
    result = asyncio.create_task(lookups.result("r"))

    lookups.close()

    assert (await result is not None) is is_answered
