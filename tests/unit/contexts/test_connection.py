"""What a connection handler is given, and how it decides."""

import pytest

from pondsocket.contexts.connection import ConnectionContext, ConnectionDecision
from pondsocket.errors import BadRequest
from pondsocket.types import Headers, IncomingConnection, Route


@pytest.fixture
def request_():
    return IncomingConnection(
        id="c1",
        address="10.0.0.7",
        headers=Headers([("X-Who", "ann")]),
        cookies={"sid": "s1"},
        query={"token": "t1"},
        params={"tenant": "acme"},
    )


@pytest.fixture
def context(request_):
    return ConnectionContext(user_id="u1", request=request_)


def test_it_shows_what_the_client_sent(context, request_):
    assert context.request is request_
    assert context.user_id == "u1"
    assert context.headers.get("x-who") == "ann"
    assert context.cookies == {"sid": "s1"}
    assert context.query == {"token": "t1"}
    assert context.params == {"tenant": "acme"}
    assert context.address == "10.0.0.7"


def test_its_route_is_the_one_given(request_):
    route = Route({"tenant": "acme"}, {"token": ["t1", "t2"]}, "rest")

    context = ConnectionContext(user_id="u1", request=request_, route=route)

    assert context.route is route


def test_without_a_route_the_parameters_make_one(context, request_):
    assert context.route == Route({"tenant": "acme"}, {"token": ["t1"]})

    context.route.params["tenant"] = "other"

    assert request_.params == {"tenant": "acme"}


def test_at_first_nothing_is_decided(context):
    assert context.decision is ConnectionDecision.PENDING
    assert not context.is_accepted
    assert not context.is_declined
    assert context.decline_info is None
    assert context.pending_reply is None
    assert context.assigns == {}


def test_accepting_decides_and_assigns(context):
    assert context.accept(role="admin", seat=1) is context

    assert context.decision is ConnectionDecision.ACCEPTED
    assert context.is_accepted
    assert not context.is_declined
    assert context.decline_info is None
    assert context.assigns == {"role": "admin", "seat": 1}


def test_a_user_id_is_an_assign_like_any_other(context):
    context.accept(user_id="someone")

    assert context.user_id == "u1"
    assert context.get_assign("user_id") == "someone"


def test_declining_decides_and_says_why(context):
    assert context.decline(403, "members only") is context

    assert context.decision is ConnectionDecision.DECLINED
    assert context.is_declined
    assert not context.is_accepted
    assert context.decline_info == (403, "members only")


def accept(context):
    context.accept(seat=2)


def decline(context):
    context.decline(403, "members only")


@pytest.mark.parametrize(
    ("first", "was"), [(accept, "accepted"), (decline, "declined")]
)
@pytest.mark.parametrize("second", [accept, decline])
def test_a_second_decision_is_refused_and_changes_nothing(context, first, was, second):
    first(context)
    assigns, why = context.assigns, context.decline_info

    with pytest.raises(BadRequest, match=f"was {was} already") as caught:
        second(context)

    assert caught.value.code == 400
    assert (context.assigns, context.decline_info) == (assigns, why)


def test_a_reply_is_kept_until_the_connection_is_open(context):
    context.accept()

    assert context.reply("welcome", {"n": 1}) is context

    assert context.pending_reply == ("welcome", {"n": 1})


def test_a_reply_accepts_if_nothing_was_decided(context):
    context.reply("welcome")

    assert context.is_accepted
    assert context.pending_reply == ("welcome", {})


def test_the_last_reply_counts(context):
    context.reply("first", {}).reply("second", {})

    assert context.pending_reply == ("second", {})


def test_a_declined_connection_gets_no_reply(context):
    context.decline(403, "members only")

    with pytest.raises(BadRequest, match="gets no reply"):
        context.reply("welcome", {})

    assert context.pending_reply is None


@pytest.mark.parametrize("name", ["ACKNOWLEDGE", "UNAUTHORIZED", "CONNECTION", ""])
def test_a_reply_under_a_reserved_name_is_refused_and_decides_nothing(context, name):
    with pytest.raises(BadRequest):
        context.reply(name, {})

    assert context.decision is ConnectionDecision.PENDING
    assert context.pending_reply is None


def test_assigns_can_be_set_one_by_one_and_together(context):
    assert context.set_assign("a", 1) is context
    assert context.set_assigns(b=2, c=3) is context

    assert context.assigns == {"a": 1, "b": 2, "c": 3}
    assert context.get_assign("a") == 1
    assert context.get_assign("nothing") is None


def test_assigns_set_before_the_decision_are_kept(context):
    context.set_assign("a", 1).set_assign("b", 1).accept(b=2)

    assert context.assigns == {"a": 1, "b": 2}


def test_the_assigns_are_a_copy(context):
    context.set_assign("a", 1)

    context.assigns["a"] = 2

    assert context.get_assign("a") == 1


def test_the_decisions_are_their_names():
    assert [str(decision) for decision in ConnectionDecision] == [
        "PENDING", "ACCEPTED", "DECLINED"
    ]  # fmt: skip
