"""Autobahn's basic cases and some with compression, played on ws_bridge."""

import pytest
import pytest_asyncio

from tests.autobahn import conformance
from tests.autobahn.process import run_echo
from tests.autobahn.wstest import BASIC_CASES, Verdict, judge

pytestmark = [
    pytest.mark.autobahn,
    pytest.mark.timeout(420),  # the first run installs the suite
    pytest.mark.asyncio(loop_scope="module"),
]

RACES = 3  # times that a case is played again
BASIC = 247  # as many as there are

# Each kind of content (12) and of offer (13) with a thousand messages of 16 bytes, of
# 4,096, and of 8,192 in fragments of 256; and one case whose frames do not come in one
# read. What is longer differs from these only in the minutes it takes.
SIZES = (1, 5, 11)
COMPRESSED_CASES = (
    *(f"12.{content}.{size}" for content in range(1, 6) for size in SIZES),
    *(f"13.{offer}.{size}" for offer in range(1, 8) for size in SIZES),
    "12.4.9",
)

# A message and what breaks a rule come together in these: whether the echo overtakes
# the close is left to chance, or to the segments in which the kernel hands them over.
NON_STRICT = {
    *("3.2", "3.3", "3.4"),
    *("4.1.3", "4.1.4", "4.1.5", "4.2.3", "4.2.4", "4.2.5"),
    "5.15",
}
CLEAN = {"OK", "INFORMATIONAL"}

Verdicts = dict[str, Verdict]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def verdicts(suite, tmp_path_factory) -> Verdicts:
    """What the suite says, by the number of the case."""
    log = tmp_path_factory.mktemp("bridge") / "server"
    async with run_echo("bridge", log) as port:

        async def play(*cases: str) -> Verdicts:
            directory = tmp_path_factory.mktemp("autobahn-bridge")
            return (await judge(suite, {"bridge": port}, directory, cases))["bridge"]

        found = await play(*BASIC_CASES) | await play(*COMPRESSED_CASES)
        for _ in range(RACES):
            again = find_bad(found)
            if not again or len(again) > len(NON_STRICT):  # races are few
                break
            found |= await play(*again)
    return found


def find_bad(verdicts: Verdicts) -> Verdicts:
    return {
        case: verdict
        for case, verdict in verdicts.items()
        if verdict.closing not in CLEAN
        or verdict.behaviour not in conformance.PASSED
        or (verdict.behaviour == "NON-STRICT" and case not in NON_STRICT)
    }


async def test_every_case_is_played(verdicts):
    assert len(verdicts) == BASIC + len(COMPRESSED_CASES)
    assert verdicts.keys() >= {*NON_STRICT, *COMPRESSED_CASES}


async def test_no_case_fails_or_closes_badly(verdicts):
    assert find_bad(verdicts) == {}


async def test_every_compressed_case_is_strict(verdicts):
    compressed = {case: verdicts[case].behaviour for case in COMPRESSED_CASES}

    assert set(compressed.values()) == {"OK"}, compressed


async def test_the_documentation_has_the_same_table(verdicts):
    table = conformance.render(verdicts, NON_STRICT)

    assert conformance.keep(table) == table
