"""Autobahn's basic cases: our servers do as well as the libraries below them.

Each library echoes twice, bare and under our adapter, both in processes of their own.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import pytest_asyncio

from tests.autobahn.process import run_echo
from tests.autobahn.wstest import Verdict, judge
from tests.hosts.process import run_host

pytestmark = [
    pytest.mark.autobahn,
    pytest.mark.timeout(300),  # the first run installs the suite
    pytest.mark.asyncio(loop_scope="module"),
]

ECHO = "tests.autobahn.echo"
RACES = 3  # times that a case which ended worse is played again
CASES = 247  # as many as there are basic ones

Verdicts = dict[str, Verdict]


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=["aiohttp", "websockets"]
)
async def verdicts(request, suite, tmp_path_factory) -> tuple[Verdicts, Verdicts]:
    """What the suite says about the bare library, and about ours."""

    def new_directory() -> Path:
        return tmp_path_factory.mktemp(f"autobahn-{request.param}")

    log = new_directory() / "servers"
    async with (
        run_echo(request.param, log) as bare,
        run_host(f"serve-{request.param}", ECHO, log) as ours,
    ):
        found = await judge(suite, {"bare": bare, "ours": ours.port}, new_directory())
        # Some cases race: they send what is valid right before what is not, and judge
        # by whether the answer to the one overtakes the end that the other brings.
        for _ in range(RACES):
            again = find_worse((found["bare"], found["ours"]), Verdict.is_worse_than)
            if not again:
                break
            found["ours"] |= (
                await judge(suite, {"ours": ours.port}, new_directory(), [*again])
            )["ours"]
    return found["bare"], found["ours"]


def find_worse(
    verdicts: tuple[Verdicts, Verdicts], is_worse: Callable[[Verdict, Verdict], bool]
) -> dict[str, tuple[Verdict, Verdict]]:
    bare, ours = verdicts
    return {
        case: (bare[case], ours[case])
        for case in bare
        if is_worse(ours[case], bare[case])
    }


async def test_every_basic_case_is_tried_on_both_servers(verdicts):
    bare, ours = verdicts

    assert len(bare) == CASES
    assert bare.keys() == ours.keys()


async def test_nearly_all_cases_pass(verdicts):
    for each in verdicts:
        counted = Counter(verdict.behaviour for verdict in each.values())
        assert counted["OK"] > 0.9 * CASES, counted


async def test_no_case_ends_worse_than_on_the_bare_library(verdicts):
    assert find_worse(verdicts, Verdict.behaves_worse_than) == {}


async def test_no_connection_closes_worse_than_on_the_bare_library(verdicts):
    assert find_worse(verdicts, Verdict.closes_worse_than) == {}
