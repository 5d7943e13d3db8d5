"""Who lives on other nodes; the same user may live on several of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pondsocket.remote_users import RemoteUsers


@pytest.fixture
def users():
    """Ann on two nodes, Bob on one."""
    users = RemoteUsers()
    users.put("node-2", "ann", {"at": 2})
    users.put("node-1", "ann", {"at": 1})
    users.put("node-2", "bob", {"role": "admin"})
    return users


def test_nobody_is_known_at_first():
    users = RemoteUsers()

    assert users.of("node-1") == ()
    assert users.node_of("ann") == ""
    assert users.assigns_of("ann") is None
    assert users.assigns() == {}


def test_each_nodes_users_are_known_by_its_name(users):
    assert users.of("node-1") == ("ann",)
    assert users.of("node-2") == ("ann", "bob")
    assert users.of("node-3") == ()


def test_a_user_of_several_nodes_is_that_of_the_first_by_name(users):
    assert users.node_of("ann") == "node-1"
    assert users.assigns_of("ann") == {"at": 1}
    assert users.assigns() == {"ann": {"at": 1}, "bob": {"role": "admin"}}


def test_when_the_first_node_loses_a_user_the_other_one_stands(users):
    users.remove("node-1", "ann")

    assert users.node_of("ann") == "node-2"
    assert users.assigns_of("ann") == {"at": 2}


def test_who_is_put_again_has_the_new_assigns_alone(users):
    users.put("node-2", "bob", {"seat": 1})

    assert users.assigns_of("bob") == {"seat": 1}


def test_one_assign_is_set_beside_the_others(users):
    users.set_assign("node-2", "bob", "seat", 1)

    assert users.assigns_of("bob") == {"role": "admin", "seat": 1}


def test_an_assign_makes_its_user_known(users):
    users.set_assign("node-3", "cid", "seat", 1)

    assert users.of("node-3") == ("cid",)
    assert users.assigns_of("cid") == {"seat": 1}


@pytest.mark.parametrize(("node", "user"), [("node-3", "ann"), ("node-1", "bob")])
def test_forgetting_who_is_not_known_changes_nothing(users, node, user):
    before = users.assigns()

    users.remove(node, user)

    assert users.assigns() == before


def test_what_is_handed_out_is_a_copy(users):
    users.assigns_of("bob")["role"] = "none"
    users.assigns()["bob"]["role"] = "none"
    users.assigns().clear()

    assert users.assigns_of("bob") == {"role": "admin"}


nodes = st.sampled_from(["node-1", "node-2", "node-3"])
names = st.sampled_from("abc")
steps = st.lists(
    st.tuples(st.sampled_from(["put", "set", "remove"]), nodes, names, st.integers()),
    max_size=30,
)


def entry_of(entries, name):
    """What the first node by name that has the user says of it."""
    return next((entries[key] for key in sorted(entries) if key[1] == name), None)


@given(steps)
def test_whatever_nodes_told_each_user_is_that_of_the_first_node_that_has_it(steps):
    users, entries = RemoteUsers(), {}
    for step, node, name, value in steps:
        match step:
            case "put":
                users.put(node, name, {"put": value})
                entries[node, name] = {"put": value}
            case "set":
                users.set_assign(node, name, "set", value)
                entries.setdefault((node, name), {})["set"] = value
            case _:
                users.remove(node, name)
                entries.pop((node, name), None)

    known = {name for _, name in entries}
    assert users.assigns() == {name: entry_of(entries, name) for name in known}
    for name in "abc":
        assert users.assigns_of(name) == entry_of(entries, name)
    for node in ("node-1", "node-2", "node-3"):
        assert set(users.of(node)) == {name for n, name in entries if n == node}
