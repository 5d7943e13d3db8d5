"""The demo's rooms: members, history and their bounds."""

import pytest

from pondsocket import BadRequest, Conflict, NotFound, Unavailable
from pondsocket.demo.rooms import HISTORY, MAX_ROOMS, Member, Rooms, to_name, to_text


def member(user_id="u1", name="Ann"):
    return Member(user_id, name, joined_at=1_000)


@pytest.fixture
def rooms():
    return Rooms()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Ann", "Ann"),
        ("  Ann \t of\nthe  Pond ", "Ann of the Pond"),
        ("\N{FROG FACE}", "\N{FROG FACE}"),
        ("x" * 32, "x" * 32),
    ],
)
def test_a_name_is_kept_with_single_spaces(given, kept):
    assert to_name(given, "/rooms/lobby") == kept


@pytest.mark.parametrize("given", [None, 7, "", " \t\n ", "x" * 33, "a\0b", "a\x1bb"])
def test_what_is_no_name_is_refused_in_words_for_people(given):
    with pytest.raises(BadRequest, match=r"A name has 1 to 32 characters\."):
        to_name(given, "/rooms/lobby")


def test_a_text_keeps_its_lines_but_not_the_space_around_it():
    assert to_text("\n one\n\ttwo ", "/rooms/lobby") == "one\n\ttwo"
    assert to_text("x" * 2000, "/rooms/lobby") == "x" * 2000


@pytest.mark.parametrize("given", [None, [], "", "  \n", "x" * 2001, "bell\a"])
def test_what_is_no_text_is_refused(given):
    with pytest.raises(BadRequest, match=r"A message has 1 to 2000 characters\."):
        to_text(given, "/rooms/lobby")


def test_a_name_has_one_colour():
    ann = member(name="Ann").hue

    assert member("u2", "Ann").hue == ann
    assert member(name="Bob").hue != ann
    assert 0 <= ann < 360


def test_a_room_ends_with_its_last_member(rooms):
    rooms.enter("/rooms/a", "a", member("u1"))
    rooms.enter("/rooms/a", "a", member("u2"))

    rooms.leave("/rooms/a", "u1")
    assert len(rooms) == 1
    rooms.leave("/rooms/a", "u2")

    assert len(rooms) == 0


def test_leaving_what_one_is_not_in_changes_nothing(rooms):
    rooms.enter("/rooms/a", "a", member("u1"))

    rooms.leave("/rooms/a", "u2")
    rooms.leave("/rooms/b", "u1")

    assert rooms.to_payload() == [{"name": "a", "members": 1}]


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", "a b", "ä", "a/b", "x" * 33])
def test_a_room_with_an_odd_name_is_refused(rooms, name):
    with pytest.raises(BadRequest, match="inner hyphens"):
        rooms.enter(f"/rooms/{name}", name, member())

    assert len(rooms) == 0


@pytest.mark.parametrize("name", ["a", "9", "frog-facts", "x" * 32])
def test_a_room_with_a_plain_name_is_made(rooms, name):
    assert rooms.enter(f"/rooms/{name}", name, member()).name == name


def test_a_member_cannot_enter_twice(rooms):
    rooms.enter("/rooms/a", "a", member())

    with pytest.raises(Conflict):
        rooms.enter("/rooms/a", "a", member())


def test_there_are_only_so_many_rooms_but_those_stay_open(rooms):
    for n in range(MAX_ROOMS):
        rooms.enter(f"/rooms/r{n}", f"r{n}", member())

    with pytest.raises(Unavailable):
        rooms.enter("/rooms/more", "more", member())
    rooms.enter("/rooms/r0", "r0", member("u2"))

    assert rooms.to_payload()[0] == {"name": "r0", "members": 2}


def test_only_members_are_found(rooms):
    ann = member("u1")
    room = rooms.enter("/rooms/a", "a", ann)

    assert rooms.find("/rooms/a", "u1") == (room, ann)
    for channel, user_id in [("/rooms/a", "u2"), ("/rooms/b", "u1")]:
        with pytest.raises(NotFound):
            rooms.find(channel, user_id)


def test_a_room_keeps_the_last_messages_only(rooms):
    ann = member()
    room = rooms.enter("/rooms/a", "a", ann)

    for n in range(HISTORY + 5):
        room.say(ann, f"text {n}", "", now=n)

    assert [m.text for m in room.history] == [f"text {n}" for n in range(5, 55)]


def test_message_ids_grow_even_when_the_clock_does_not(rooms):
    ann = member()
    room = rooms.enter("/rooms/a", "a", ann)

    ids = [room.say(ann, "x", "", now).id for now in (100, 100, 90, 200)]

    assert ids == [100, 101, 102, 200]


def test_a_message_ends_the_typing_of_its_sender(rooms):
    ann = member()
    ann.is_typing = True

    rooms.enter("/rooms/a", "a", ann).say(ann, "x", "", now=1)

    assert ann.to_payload()["typing"] is False


@pytest.mark.parametrize(
    ("nonce", "kept"), [("n1", "n1"), ("n" * 65, "n" * 64), (None, ""), (3, "")]
)
def test_a_nonce_comes_back_bounded(rooms, nonce, kept):
    ann = member()

    message = rooms.enter("/rooms/a", "a", ann).say(ann, "hi", nonce, now=5)

    assert message.to_payload() == {
        "id": 5,
        "user": {"id": "u1", "name": "Ann", "hue": ann.hue},
        "text": "hi",
        "sentAt": 5,
        "nonce": kept,
    }
