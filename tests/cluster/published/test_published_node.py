"""A node of the published pondsocket 0.0.7 and one of ours are one cluster."""

import contextlib
import itertools
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.backends.servers import valkey_server
from tests.cluster.published.environment import UnavailableError, prepare_published
from tests.cluster.published.nodes import Node, Person, run_node

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    # making the environment is part of the first test
    pytest.mark.timeout(300),
]
KINDS = ("published", "ours")
ALIVE = ("--heartbeat-interval", "0.5", "--heartbeat-timeout", "4")

rooms = (f"/chat/{number}" for number in itertools.count(1))


@dataclass
class Pond:
    """Two nodes that share a server, and what another one needs to join them."""

    redis: str
    pythons: dict[str, Path]
    folder: Path
    nodes: dict[str, Node]

    def another(self, kind: str, name: str):
        log = self.folder / f"{name}.log"
        return run_node(self.pythons[kind], self.redis, name, log, *ALIVE)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pond(tmp_path_factory):
    try:
        pythons = {"published": prepare_published(), "ours": Path(sys.executable)}
    except UnavailableError as error:
        pytest.skip(f"pondsocket 0.0.7 cannot be installed: {error}")
    folder = tmp_path_factory.mktemp("published")
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(valkey_server())
        pond = Pond(server.url, pythons, folder, {})
        for kind in KINDS:
            node = pond.another(kind, kind)
            pond.nodes[kind] = await stack.enter_async_context(node)
        yield pond


@pytest_asyncio.fixture(loop_scope="module")
async def visit():
    """Connect people, each to a node and for a room, until the test is over."""
    async with contextlib.AsyncExitStack() as stack:

        async def visit(node: Node, room: str) -> Person:
            return await stack.enter_async_context(Person.at(node, room))

        yield visit


@pytest.fixture
def room():
    return next(rooms)


@pytest.fixture(params=KINDS)
def here(request):
    """The kind of node that ann is on; bob is on the other."""
    return request.param


@pytest.fixture
def there(here):
    return KINDS[1 - KINDS.index(here)]


async def meet(*people: Person) -> None:
    """Return once the node of each knows them all."""
    ids = {person.id for person in people}
    for person in people:
        await person.sees(lambda users: ids <= users["assigns"].keys())


def gone(kind: str, person: Person, name: str) -> dict[str, str]:
    """Return what clients of a kind of node are shown of a presence that goes.

    0.0.7 tells whose it was, ours what it was: here always ``{"is": name}``.
    """
    return {"userId": person.id} if kind == "published" else {"is": name}


@pytest_asyncio.fixture(loop_scope="module")
async def couple(pond, visit, here, there, room):
    """Ann and bob in one room, on a node of either kind, known to each other.

    Both have a presence, since 0.0.7 shows presences only to those who have one.
    """
    ann = await visit(pond.nodes[here], room)
    bob = await visit(pond.nodes[there], room)
    await ann.join(assigns={"name": "ann"}, presence={"is": "ann"})
    await bob.join(assigns={"name": "bob"}, presence={"is": "bob"})
    await meet(ann, bob)
    return ann, bob


@pytest_asyncio.fixture(loop_scope="module")
async def trio(pond, visit, there, room, couple):
    """The same with cat, who is on bob's node."""
    cat = await visit(pond.nodes[there], room)
    await cat.join(assigns={"name": "cat"})
    await meet(*couple, cat)
    return *couple, cat


# Broadcasts.


async def test_all_hear_what_is_said_to_all(couple):
    ann, bob = couple

    await ann.do("say", text="hello \u2028 é")

    assert (await bob.hears("said"))["text"] == "hello \u2028 é"
    assert (await ann.hears("said"))["text"] == "hello \u2028 é"


async def test_a_sender_alone_does_not_hear_what_it_says_to_the_others(trio):
    ann, bob, cat = trio

    await ann.do("say_others", text="psst")

    await ann.do("say", text="over")
    assert await bob.hears_until("over") == ["psst"]
    assert await cat.hears_until("over") == ["psst"]
    assert await ann.hears_until("over") == []


async def test_only_those_who_are_listed_hear_it(trio):
    ann, bob, cat = trio

    await ann.do("say_to", users=[cat.id], text="psst")

    await ann.do("say", text="over")
    assert await bob.hears_until("over") == []
    assert await cat.hears_until("over") == ["psst"]


async def test_many_messages_come_complete_and_in_order(couple):
    ann, bob = couple

    for number in range(200):
        await ann.do("say", text=str(number))

    await ann.do("say", text="over")
    assert await bob.hears_until("over") == [str(number) for number in range(200)]


# Presence.


async def test_somebody_who_joins_with_a_presence_is_shown(
    pond, visit, couple, here, room
):
    _, bob = couple
    dan = await visit(pond.nodes[here], room)

    await dan.join(presence={"is": "dan"})

    shown = await bob.is_shown("JOIN", {"is": "dan"})
    assert sorted(each["is"] for each in shown) == ["ann", "bob", "dan"]


async def test_a_presence_that_appears_later_is_shown(pond, visit, couple, here, room):
    _, bob = couple
    dan = await visit(pond.nodes[here], room)
    await dan.join()

    await dan.do("track", **{"is": "dan"})

    await bob.is_shown("JOIN", {"is": "dan"})


async def test_a_presence_that_changes_is_shown(couple):
    ann, bob = couple

    await ann.do("update", **{"is": "ann", "mood": "bored"})

    shown = await bob.is_shown("UPDATE", {"is": "ann", "mood": "bored"})
    assert {"is": "ann"} not in shown


@pytest.mark.parametrize("way", ["untrack", "leave", "hang up"])
async def test_a_presence_that_goes_is_shown(couple, pond, here, there, room, way):
    _, bob = couple
    async with Person.at(pond.nodes[here], room) as dan:
        await dan.join(presence={"is": "dan"})
        await bob.is_shown("JOIN", {"is": "dan"})

        if way == "untrack":
            await dan.do("untrack")
        elif way == "leave":
            await dan.leave()
        else:
            await dan.hang_up()

        shown = await bob.is_shown("LEAVE", gone(there, dan, "dan"))
        assert {"is": "dan"} not in shown


async def test_somebody_without_a_presence_is_forgotten(
    pond, visit, couple, here, room
):
    ann, bob = couple
    dan = await visit(pond.nodes[here], room)
    await dan.join()
    await meet(ann, bob, dan)

    await dan.leave()

    await bob.sees(lambda users: users["assigns"].keys() == {ann.id, bob.id})


# Assigns.


async def test_an_assign_is_known_on_the_other_node(couple):
    ann, bob = couple

    await ann.do("assign", key="seat", value={"row": 7})

    await bob.sees(
        lambda users: users["assigns"][ann.id] == {"name": "ann", "seat": {"row": 7}}
    )


async def test_an_assign_of_somebody_elsewhere_is_changed_where_they_live(couple):
    ann, bob = couple

    await ann.do("assign_to", user=bob.id, key="seat", value=7)

    await bob.sees(lambda users: users["assigns"][bob.id] == {"name": "bob", "seat": 7})


async def test_a_presence_of_somebody_elsewhere_is_changed_where_they_live(couple):
    ann, bob = couple

    await ann.do("update_of", user=bob.id, presence={"is": "bob", "mood": "bored"})

    await bob.is_shown("UPDATE", {"is": "bob", "mood": "bored"})


# Users.


async def test_a_user_of_the_other_node_is_found(couple):
    ann, bob = couple

    await ann.do("find", user=bob.id)

    assert await ann.hears("found", "not_found") == {
        "id": bob.id,
        "assigns": {"name": "bob"},
        "presence": {"is": "bob"},
    }


async def test_somebody_whom_no_node_has_is_not_found(couple):
    ann, _ = couple

    await ann.do("find", user="nobody")

    assert await ann.hears("found", "not_found") == {"code": 404}


async def test_a_user_of_the_other_node_is_evicted(couple, here):
    ann, bob = couple

    await ann.do("evict", users=[bob.id], reason="spam")

    assert await bob.hears("EVICTED") == {"reason": "spam"}
    assert await ann.is_shown("LEAVE", gone(here, bob, "bob")) == [{"is": "ann"}]
    await ann.sees(lambda users: users["assigns"].keys() == {ann.id})


# Nodes that come late and nodes that go.


async def test_a_node_that_starts_late_learns_of_everybody(
    pond, visit, here, there, room
):
    ann = await visit(pond.nodes[here], room)
    await ann.join(assigns={"name": "ann"}, presence={"is": "ann"})
    cat = await visit(pond.nodes[here], room)
    await cat.join(assigns={"name": "cat"})

    async with pond.another(there, f"late-{there}") as late:
        bob = await visit(late, room)
        await bob.join(assigns={"name": "bob"})

        everybody = {
            "presence": {ann.id: {"is": "ann"}},
            "assigns": {
                person.id: {"name": name}
                for person, name in ((ann, "ann"), (bob, "bob"), (cat, "cat"))
            },
        }
        await bob.sees(lambda users: users == everybody)
        await ann.sees(lambda users: users == everybody)


async def test_the_users_of_a_node_that_stops_leave(pond, visit, here, there, room):
    bob = await visit(pond.nodes[there], room)
    await bob.join(presence={"is": "bob"})
    async with pond.another(here, f"stopped-{here}") as stopping:
        ann = await visit(stopping, room)
        await ann.join(presence={"is": "ann"})
        await bob.is_shown("JOIN", {"is": "ann"})

        await stopping.stop()

        assert await bob.is_shown("LEAVE", gone(there, ann, "ann")) == [{"is": "bob"}]


async def test_the_users_of_a_killed_node_are_forgotten(pond, visit, here, there, room):
    bob = await visit(pond.nodes[there], room)
    await bob.join(presence={"is": "bob"})
    async with pond.another(here, f"killed-{here}") as doomed:
        ann = await visit(doomed, room)
        await ann.join(presence={"is": "ann"})
        await bob.is_shown("JOIN", {"is": "ann"})

        doomed.kill()

        await bob.sees(
            lambda users: (
                users == {"presence": {bob.id: {"is": "bob"}}, "assigns": {bob.id: {}}}
            )
        )


async def test_clients_of_ours_are_shown_that_users_of_a_killed_published_node_leave(
    pond, visit, room
):
    bob = await visit(pond.nodes["ours"], room)
    await bob.join()
    async with pond.another("published", "lost") as doomed:
        ann = await visit(doomed, room)
        await ann.join(presence={"is": "ann"})
        await bob.is_shown("JOIN", {"is": "ann"})

        doomed.kill()

        assert await bob.is_shown("LEAVE", {"is": "ann"}) == []
