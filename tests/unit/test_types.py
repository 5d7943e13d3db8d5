import dataclasses

import pytest

from pondsocket.types import (
    AllExceptSender,
    AllUsers,
    ChannelReceiver,
    ClientActions,
    DistributedMessageType,
    ErrorTypes,
    Event,
    Headers,
    IncomingConnection,
    InternalActions,
    LeaveReason,
    Limits,
    MessageEvent,
    PresenceEventTypes,
    Route,
    ServerActions,
    SystemEntity,
    SystemEvents,
    ToUsers,
    TransportType,
    User,
    UserData,
)

NAMES = {
    ClientActions: "JOIN_CHANNEL LEAVE_CHANNEL BROADCAST",
    ServerActions: "PRESENCE SYSTEM BROADCAST ERROR CONNECT",
    SystemEvents: """ACKNOWLEDGE EXIT_ACKNOWLEDGE CONNECTION INTERNAL_ERROR NOT_FOUND
        UNAUTHORIZED EVICTED""",
    SystemEntity: "GATEWAY CHANNEL",
    InternalActions: "ASSIGNS USER_COMMAND",
    PresenceEventTypes: "JOIN LEAVE UPDATE",
    ChannelReceiver: "ALL_USERS ALL_EXCEPT_SENDER",
    ErrorTypes: """HANDLER_NOT_FOUND INVALID_MESSAGE UNAUTHORIZED_CONNECTION
        UNAUTHORIZED_JOIN_REQUEST UNAUTHORIZED_BROADCAST PRESENCE_ERROR CHANNEL_ERROR
        ENDPOINT_ERROR INTERNAL_SERVER_ERROR""",
    DistributedMessageType: """STATE_REQUEST STATE_RESPONSE USER_JOINED USER_LEFT
        USER_MESSAGE PRESENCE_UPDATE PRESENCE_REMOVED ASSIGNS_UPDATE EVICT_USER
        USER_REMOVE USER_GET_REQUEST USER_GET_RESPONSE NODE_HEARTBEAT""",
}


@pytest.mark.parametrize(("enum", "names"), NAMES.items())
def test_a_name_of_the_wire_is_its_own_value(enum, names):
    assert [(member.name, str(member)) for member in enum] == [
        (name, name) for name in names.split()
    ]


@pytest.mark.parametrize(
    ("member", "value"),
    [
        (TransportType.WEBSOCKET, "websocket"),
        (TransportType.SSE, "sse"),
        (LeaveReason.EXPLICIT_LEAVE, "explicit_leave"),
        (LeaveReason.CONNECTION_CLOSED, "connection_closed"),
        (LeaveReason.EVICTED, "evicted"),
    ],
)
def test_transport_types_and_leave_reasons_have_lower_case_values(member, value):
    assert member == value


def test_an_event_needs_four_names():
    event = Event("BROADCAST", "/chat/1", "r1", "message")

    assert event == Event(
        action="BROADCAST",
        channel_name="/chat/1",
        request_id="r1",
        event="message",
        payload=None,
        node_id="",
        recipients=[],
        recipient_descriptor="ALL_USERS",
        from_user_id="CHANNEL",
        user_id="",
        meta=None,
    )


@pytest.mark.parametrize("name", ["action", "channel_name", "request_id", "event"])
def test_an_event_refuses_an_empty_name(name):
    names = {"action": "a", "channel_name": "c", "request_id": "r", "event": "e"}

    with pytest.raises(ValueError, match=f"^Event.{name} must not be empty$"):
        Event(**{**names, name: ""})


@pytest.mark.parametrize("name", ["action", "channel_name", "request_id", "event"])
@pytest.mark.parametrize(("value", "kind"), [(7, "int"), (None, "NoneType")])
def test_an_event_refuses_a_name_that_is_no_string(name, value, kind):
    names = {"action": "a", "channel_name": "c", "request_id": "r", "event": "e"}

    with pytest.raises(ValueError, match=f"^Event.{name} must be a str, got {kind}$"):
        Event(**{**names, name: value})


def test_an_event_can_be_changed():
    event = Event("BROADCAST", "/chat/1", "r1", "message")
    event.payload = {"a": 1}

    assert event.payload == {"a": 1}


def test_two_events_do_not_share_their_recipients():
    first, second = (Event("a", "c", "r", "e") for _ in range(2))
    first.recipients.append("alice")

    assert second.recipients == []


def test_user_data_is_a_copy():
    user = User("alice", {"role": "admin"}, {"status": "away"})
    data = user.to_user_data()
    user.assigns["role"] = "guest"
    user.presence["status"] = "here"

    assert data == UserData("alice", {"role": "admin"}, {"status": "away"})


def test_user_data_of_an_untracked_user_has_an_empty_presence():
    assert User("alice").to_user_data() == UserData("alice", {}, {})


def test_a_message_event_holds_event_and_sender():
    event, user = Event("a", "c", "r", "e"), User("alice")

    assert MessageEvent(event, user) == MessageEvent(event=event, user=user)


def test_headers_are_found_in_any_case():
    headers = Headers([(b"X-Trace", b"1")])

    assert headers.get("x-TRACE") == "1"


def test_a_header_given_twice_has_two_values_and_the_first_is_got():
    headers = Headers([("Via", "a"), ("Host", "h"), (b"via", b"b")])

    assert headers.get("via") == "a"
    assert headers.get_all("VIA") == ["a", "b"]


def test_a_header_that_is_not_there_is_none_or_the_default():
    headers = Headers()

    assert headers.get("via") is None
    assert headers.get("via", "nobody") == "nobody"
    assert headers.get_all("via") == []


def test_header_items_keep_their_order_under_lower_case_names():
    headers = Headers([("B", "1"), ("A", "2"), ("B", "3")])

    assert headers.items() == [("b", "1"), ("a", "2"), ("b", "3")]


def test_raw_headers_are_bytes_as_they_came():
    headers = Headers([(b"X-Name", b"caf\xe9"), ("x-other", "1")])

    assert headers.get("x-name") == "café"
    assert headers.raw == [(b"x-name", b"caf\xe9"), (b"x-other", b"1")]


def test_a_raw_header_beyond_latin_1_is_utf_8_and_never_fails():
    headers = Headers([("a", "日"), ("b", "\ud800")])

    assert headers.raw == [(b"a", "日".encode()), (b"b", b"?")]


def test_a_header_is_in_the_headers_by_name():
    headers = Headers([("Host", "h")])

    assert "HOST" in headers
    assert "via" not in headers
    assert 7 not in headers


def test_headers_are_equal_by_what_they_hold():
    headers = Headers([("Host", "h")])

    assert headers == Headers([(b"host", b"h")])
    assert hash(headers) == hash(Headers([(b"host", b"h")]))
    assert headers != Headers([("host", "other")])
    assert headers != [("host", "h")]


def test_the_repr_of_headers_shows_no_value():
    assert repr(Headers([("Cookie", "secret"), ("Host", "h")])) == (
        "<Headers cookie, host>"
    )


def test_a_connection_without_anything_has_empty_parts():
    incoming = IncomingConnection("c1", "127.0.0.1")

    assert incoming == IncomingConnection(
        id="c1", address="127.0.0.1", headers=Headers(), cookies={}, query={}, params={}
    )


def test_a_route_gives_values_by_name():
    route = Route({"room": "42"}, {"tag": ["a", "b"]}, "rest")

    assert route.param("room") == "42"
    assert route.query_param("tag") == ["a", "b"]


def test_a_route_gives_nothing_for_an_unknown_name():
    assert Route().param("room") == ""
    assert Route().query_param("tag") == []
    assert Route().wildcard is None


@pytest.mark.parametrize(
    "recipients", [AllUsers(), AllExceptSender("alice"), ToUsers(("alice", "bob"))]
)
def test_recipients_are_values_that_nobody_can_change(recipients):
    assert recipients == dataclasses.replace(recipients)
    assert hash(recipients) == hash(dataclasses.replace(recipients))
    with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
        recipients.sender_id = "mallory"


def test_limits_have_the_documented_defaults():
    assert dataclasses.asdict(Limits()) == {
        "max_message_size": 1_048_576,
        "max_channel_name_length": 512,
        "max_event_name_length": 256,
        "max_request_id_length": 256,
        "max_nesting_depth": 64,
        "max_messages_per_second": 1000.0,
        "flood_tolerance": 10.0,
        "inbound_max_messages": 256,
        "inbound_max_bytes": 1_048_576,
        "max_concurrent_handlers": 10,
    }
