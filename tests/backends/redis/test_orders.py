"""The subscription commands under way on one connection."""

from pondsocket_redis.names import EXACT, SHARDED, WILDCARD, Name
from pondsocket_redis.orders import Orders
from pondsocket_redis.wire import encode_command

A, B = Name(EXACT, b"a"), Name(EXACT, b"b")
GLOB = Name(WILDCARD, b"g*")


def wanting(*names):
    return dict.fromkeys(names)


def test_names_of_a_kind_leave_in_one_command():
    commands = Orders().order([A, GLOB, B], wanting(A, B, GLOB))

    assert commands == [
        encode_command(b"SUBSCRIBE", b"a", b"b"),
        encode_command(b"PSUBSCRIBE", b"g*"),
    ]


def test_sharded_names_leave_one_by_one():
    names = [Name(SHARDED, b"a"), Name(SHARDED, b"b")]

    commands = Orders().order(names, wanting(*names))

    assert commands == [
        encode_command(b"SSUBSCRIBE", b"a"),
        encode_command(b"SSUBSCRIBE", b"b"),
    ]


def test_what_is_as_wanted_needs_no_command():
    orders = Orders()
    orders.order([A], wanting(A))

    assert orders.order([A, B], wanting(A)) == []


def test_a_name_is_settled_by_its_confirmation():
    orders = Orders()
    orders.order([A], wanting(A))
    assert not orders.is_settled(A)

    assert orders.confirm(b"subscribe", b"a") == A

    assert orders.is_settled(A)


def test_the_confirmation_of_an_older_order_settles_nothing():
    orders = Orders()
    orders.order([A], wanting(A))
    orders.order([A], wanting())
    orders.order([A], wanting(A))

    confirmed = [
        orders.confirm(verb, b"a")
        for verb in (b"subscribe", b"unsubscribe", b"subscribe")
    ]

    assert confirmed == [None, None, A]


def test_names_of_a_refused_command_are_ordered_one_by_one():
    orders = Orders()
    orders.order([A, B], wanting(A, B))

    refused = orders.refuse()
    orders.suspect(refused)

    assert sorted(refused) == [A, B]
    commands = orders.order([A, B], wanting(A, B))
    assert commands == [
        encode_command(b"SUBSCRIBE", b"a"),
        encode_command(b"SUBSCRIBE", b"b"),
    ]


def test_an_error_without_an_order_refuses_nothing():
    assert Orders().refuse() == []


def test_a_name_that_the_server_ended_is_not_settled():
    orders, name = Orders(), Name(SHARDED, b"a")
    orders.order([name], wanting(name))
    orders.confirm(b"ssubscribe", b"a")

    assert orders.confirm(b"sunsubscribe", b"a") is None

    assert not orders.is_settled(name)


def test_many_names_are_split_over_commands():
    names = [Name(EXACT, b"%d" % number) for number in range(1001)]

    assert len(Orders().order(names, wanting(*names))) == 3
