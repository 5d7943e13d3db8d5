"""Changes of presence that wait: one for each user, whoever saw what meanwhile."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pondsocket.presence_changes import PresenceChanges
from pondsocket.types import PresenceEventTypes

JOIN, UPDATE, LEAVE = (
    PresenceEventTypes.JOIN,
    PresenceEventTypes.UPDATE,
    PresenceEventTypes.LEAVE,
)
OLD, NEW = {"n": 1}, {"n": 2}


def gathered(*kinds, with_snapshot_after=None):
    """Note changes of one user, of which the last one shows NEW and others OLD."""
    changes = PresenceChanges()
    for number, kind in enumerate(kinds, 1):
        changes.note("ann", kind, NEW if number == len(kinds) else OLD)
        if number == with_snapshot_after:
            changes.note_snapshot()
    return changes.take()


@pytest.mark.parametrize(
    ("kinds", "told"),
    [
        ((JOIN,), {"joined": {"ann": NEW}}),
        ((UPDATE,), {"updated": {"ann": NEW}}),
        ((LEAVE,), {"left": {"ann": NEW}}),
        ((JOIN, UPDATE), {"joined": {"ann": NEW}}),
        ((JOIN, LEAVE), {}),
        ((JOIN, UPDATE, LEAVE), {}),
        ((JOIN, LEAVE, JOIN), {"joined": {"ann": NEW}}),
        ((UPDATE, UPDATE), {"updated": {"ann": NEW}}),
        ((UPDATE, LEAVE), {"left": {"ann": NEW}}),
        ((LEAVE, JOIN), {"updated": {"ann": NEW}}),
        ((LEAVE, JOIN, UPDATE), {"updated": {"ann": NEW}}),
        ((LEAVE, JOIN, LEAVE), {"left": {"ann": NEW}}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_changes_of_one_user_are_told_as_one(kinds, told):
    assert gathered(*kinds) == told


def test_who_leaves_after_a_snapshot_showed_it_is_told_of_as_gone():
    assert gathered(JOIN, LEAVE, with_snapshot_after=1) == {"left": {"ann": NEW}}


def test_who_comes_and_goes_after_a_snapshot_is_not_told_of():
    assert gathered(JOIN, LEAVE, JOIN, LEAVE, with_snapshot_after=2) == {}


def test_changes_of_different_users_are_told_together():
    changes = PresenceChanges()
    changes.note("ann", JOIN, OLD)
    changes.note("bob", UPDATE, OLD)
    changes.note("cid", LEAVE, OLD)
    changes.note("dan", JOIN, NEW)

    assert changes.take() == {
        "joined": {"ann": OLD, "dan": NEW},
        "updated": {"bob": OLD},
        "left": {"cid": OLD},
    }


def test_what_was_taken_waits_no_more():
    changes = PresenceChanges()
    changes.note("ann", JOIN, OLD)
    assert changes

    changes.take()

    assert not changes
    assert changes.take() == {}


def test_who_was_told_of_and_leaves_is_told_of_as_gone():
    changes = PresenceChanges()
    changes.note("ann", JOIN, OLD)
    changes.take()

    changes.note("ann", LEAVE, OLD)

    assert changes.take() == {"left": {"ann": OLD}}


USERS = st.sampled_from("abc")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), USERS, st.integers(0, 3)),
        st.tuples(st.just("gone"), USERS, st.just(0)),
        st.tuples(st.just("snapshot"), st.just(""), st.just(0)),
        st.tuples(st.just("tell"), st.just(""), st.just(0)),
    ),
    min_size=20,
    max_size=60,
)


def follow(view, told):
    """Do what a client does with a message."""
    view.update(told.get("joined", {}))
    view.update(told.get("updated", {}))
    for user in told.get("left", {}):
        view.pop(user, None)


def change(shown, user, presence):
    """Change what is shown; return what kind of change that is, None for none."""
    if presence is None:
        return None if user not in shown else (LEAVE, shown.pop(user))
    kind = UPDATE if user in shown else JOIN
    shown[user] = presence
    return kind, presence


@given(STEPS)
def test_whenever_nothing_waits_every_client_has_what_is_shown(steps):
    changes, shown, views = PresenceChanges(), {}, [{}]
    for verb, user, number in [*steps, ("tell", "", 0)]:
        if verb == "snapshot":
            changes.note_snapshot()
            views.append(dict(shown))
        elif verb == "tell":
            told = changes.take()
            for view in views:
                follow(view, told)
        else:
            made = change(shown, user, {"n": number} if verb == "set" else None)
            if made is not None:
                changes.note(user, *made)
        if not changes:
            assert all(view == shown for view in views)
