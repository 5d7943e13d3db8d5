"""Who is in a channel; a handle here is any object."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pondsocket.errors import Conflict, NotFound
from pondsocket.roster import Member, Roster
from pondsocket.types import AllExceptSender, AllUsers, ToUsers


@pytest.fixture
def roster():
    """Ann, Bob and Cid; the handle is the name in upper case."""
    roster = Roster("/room")
    for name in ("ann", "bob", "cid"):
        roster.add(name, name.upper(), {"name": name})
    return roster


def test_it_knows_its_members(roster):
    assert len(roster) == 3
    assert "ann" in roster
    assert "dan" not in roster
    assert [member.user_id for member in roster.members()] == ["ann", "bob", "cid"]


def test_an_empty_one_is_false():
    assert not Roster("/room")
    assert Roster("/room").handles() == ()


def test_the_same_user_twice_is_a_conflict(roster):
    with pytest.raises(Conflict, match=r"/room.*'ann' is already a member"):
        roster.add("ann", "OTHER", {})

    assert roster.get("ann").handle == "ANN"


def test_a_member_is_found_with_handle_and_assigns(roster):
    expected = Member("ann", "ANN", {"name": "ann"})

    assert roster.find("ann") == roster.get("ann") == expected


def test_who_is_no_member_is_not_found(roster):
    assert roster.find("dan") is None
    with pytest.raises(NotFound, match=r"/room.*'dan' is not a member"):
        roster.get("dan")


def test_a_removed_member_is_handed_back_and_gone(roster):
    removed = roster.remove("bob")

    assert removed.handle == "BOB"
    assert "bob" not in roster
    assert roster.handles() == ("ANN", "CID")


def test_removing_who_is_no_member_changes_nothing(roster):
    before = roster.handles()

    assert roster.remove("dan") is None
    assert roster.handles() is before


def test_a_user_can_come_back(roster):
    roster.remove("ann")
    roster.add("ann", "NEW", {})

    assert roster.handles() == ("BOB", "CID", "NEW")
    assert roster.get("ann").assigns == {}


def test_everyones_handles_are_one_tuple_until_someone_comes_or_goes(roster):
    before = roster.handles()

    assert roster.handles() is before
    assert roster.select(AllUsers()) is before
    roster.add("dan", "DAN", {})
    assert roster.handles() == (*before, "DAN")


def test_assigns_are_copied_in_and_out(roster):
    given = {"role": "admin"}
    roster.add("dan", "DAN", given)
    given["role"] = "none"
    roster.assigns()["ann"]["name"] = "none"

    assert roster.assigns() == {
        "ann": {"name": "ann"},
        "bob": {"name": "bob"},
        "cid": {"name": "cid"},
        "dan": {"role": "admin"},
    }


@pytest.mark.parametrize(
    ("recipients", "handles"),
    [
        (AllUsers(), ("ANN", "BOB", "CID")),
        (AllExceptSender("bob"), ("ANN", "CID")),
        (AllExceptSender("dan"), ("ANN", "BOB", "CID")),
        (ToUsers(("cid", "dan", "ann", "cid")), ("CID", "ANN")),
        (ToUsers(()), ()),
    ],
    ids=str,
)
def test_a_message_goes_to_those_of_its_recipients_who_are_members(
    roster, recipients, handles
):
    assert roster.select(recipients) == handles


names = st.sampled_from("abcdef")
recipients = st.one_of(
    st.builds(AllUsers),
    st.builds(AllExceptSender, names),
    st.builds(ToUsers, st.lists(names, max_size=8).map(tuple)),
)
steps = st.lists(st.tuples(st.sampled_from(["add", "remove"]), names), max_size=20)


def model_of(members, spec):
    match spec:
        case AllUsers():
            return members
        case AllExceptSender(sender_id=sender):
            return [name for name in members if name != sender]
        case ToUsers(user_ids=wanted):
            return [name for name in dict.fromkeys(wanted) if name in members]


@given(steps=steps, spec=recipients)
def test_whoever_came_and_went_a_message_goes_to_whom_it_is_for(steps, spec):
    roster, members = Roster("/room"), []
    for step, name in steps:
        if step == "remove":
            roster.remove(name)
            members = [member for member in members if member != name]
        elif name not in members:
            roster.add(name, name.upper(), {})
            members.append(name)
        assert list(roster.select(spec)) == [n.upper() for n in model_of(members, spec)]
    assert len(roster) == len(members)
