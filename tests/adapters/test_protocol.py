"""Every rule of the client protocol, over real sockets, on every adapter.

The rules are in tests/vectors/client.json, the adapters in protocol_hosts.py. Where
the whole module runs, a vector that did not run on an adapter that it applies to is a
failure, whatever kept it from running.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.protocol_hosts import ADAPTERS, Adapter
from tests.adapters.protocol_play import CLIENTS, Play
from tests.adapters.protocol_servers import Servers
from tests.hosts.table import note

VECTORS = json.loads(
    (Path(__file__).parent.parent / "vectors" / "client.json").read_text("utf-8")
)["vectors"]

Run = tuple[str, str, str]  # adapter, transport, id of the vector

RUNS: dict[Run, tuple[Adapter, str, dict[str, Any]]] = {
    (adapter.name, transport, vector["id"]): (adapter, transport, vector)
    for adapter in ADAPTERS
    for transport in CLIENTS
    for vector in VECTORS
    if adapter.plays(vector, transport)
}

# uvicorn's oldest WebSocket implementation, deprecated and still offered
pytestmark = pytest.mark.filterwarnings(
    "ignore:remove second argument of ws_handler:DeprecationWarning"
)


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    servers = Servers()
    yield servers
    servers.close()
    assert servers.take_problems() == []


@pytest.fixture(scope="module")
def recording(request: pytest.FixtureRequest) -> Iterator[set[Run]]:
    """Collect what ran, and hold it in the end against what was to run."""
    ran: set[Run] = set()
    yield ran
    session = request.session
    chosen = {
        item.callspec.params["run"]
        for item in session.items
        if isinstance(item, pytest.Function) and "run" in item.fixturenames
    }
    missing = sorted(chosen - ran)
    is_cut_short = session.shouldstop or session.shouldfail
    assert not missing or is_cut_short, f"{len(missing)} did not run: {missing[:20]}"


@pytest.fixture(scope="module")
def kept() -> Iterator[set[Run]]:
    """Collect what was kept; where that is all there is, the documentation says so."""
    kept: set[Run] = set()
    yield kept
    for adapter in ADAPTERS:
        wanted = {run for run in RUNS if run[0] == adapter.name}
        if adapter.host and wanted <= kept:
            note(adapter.host, "protocol rules kept", describe_rules(adapter))


def describe_rules(adapter: Adapter) -> str:
    """Return how many rules an adapter keeps if all its runs pass, and which not."""
    rules = {
        vector["id"]
        for vector in VECTORS
        for transport in CLIENTS
        if adapter.could_play(vector, transport)
    }
    if not adapter.exempt:
        return f"all of {len(rules)}"
    exempt: dict[str, list[str]] = {}
    for (_, vector_id), reason in sorted(adapter.exempt.items()):
        exempt.setdefault(reason, []).append(vector_id)
    reasons = (f"{', '.join(ids)}: {reason}" for reason, ids in exempt.items())
    count = len({vector_id for _, vector_id in adapter.exempt})
    return f"{len(rules) - count} of {len(rules)}; not: {'; '.join(reasons)}"


@pytest.mark.parametrize("run", RUNS, ids="-".join)
async def test_the_protocol_is_kept(
    run: Run, servers: Servers, recording: set[Run], kept: set[Run]
) -> None:
    adapter, transport, vector = RUNS[run]
    recording.add(run)
    server = await servers.find(adapter, vector)
    play = Play(server, transport)
    try:
        await play.run(vector["steps"])
        await play.finish()
    finally:
        await play.abandon()
        left = await server.settle()
        if vector.get("own_server"):
            await servers.discard(server)
    assert left == []
    assert servers.take_problems() == []
    kept.add(run)


def test_each_vector_has_an_id_of_its_own() -> None:
    ids = [vector["id"] for vector in VECTORS]

    assert sorted(ids) == sorted(set(ids))


def test_each_vector_runs_on_each_of_its_transports() -> None:
    wanted = {
        (transport, vector["id"])
        for vector in VECTORS
        for transport in vector["transports"]
    }

    assert {(transport, vector_id) for _, transport, vector_id in RUNS} == wanted


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.name)
def test_an_adapter_is_exempt_only_from_what_exists(adapter: Adapter) -> None:
    known = {(t, vector["id"]) for vector in VECTORS for t in vector["transports"]}

    assert adapter.exempt.keys() <= known


def test_what_an_adapter_keeps_is_told_with_the_reasons_for_what_it_does_not() -> None:
    told = {
        adapter.host: describe_rules(adapter) for adapter in ADAPTERS if adapter.host
    }

    assert told["uvicorn-wsproto"] == f"all of {len(VECTORS)}"
    assert told["uvicorn-websockets"] == (
        f"{len(VECTORS) - 1} of {len(VECTORS)}; not: flood-closed: uvicorn cuts the "
        "line, and with it the close frame, of a client that goes on sending"
    )
