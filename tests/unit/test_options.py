"""Every setting, its bounds and its way into the limits of a connection."""

import math
import warnings
from dataclasses import fields, replace

import pytest

from pondsocket.hooks import Hooks
from pondsocket.options import Options, SlowConsumerPolicy
from pondsocket.types import Limits

UNLIMITED_AT_ZERO = [
    "max_message_size",
    "max_connections",
    "max_channels_per_connection",
    "max_channel_name_length",
    "max_event_name_length",
    "max_request_id_length",
    "max_nesting_depth",
    "inbound_max_bytes",
    "outbound_max_bytes",
    "max_presence_bytes",
    "presence_budget",
]
COUNTS = ["inbound_max_messages", "max_concurrent_handlers", "outbound_max_messages"]
NEVER_AT_ZERO = [
    "max_messages_per_second",
    "flood_tolerance",
    "handshake_timeout",
    "handler_timeout",
    "ping_interval",
]
ABOVE_ZERO = [
    "send_timeout",
    "pong_wait",
    "heartbeat_interval",
    "heartbeat_timeout",
    "anti_entropy_interval",
    "user_get_timeout",
    "publish_timeout",
    "subscribe_timeout",
]
OTHERS = [
    "slow_consumer",
    "compression",
    "direct_writes",
    "allowed_origins",
    "trust_forwarded",
    "node_id",
    "namespace",
    "key_prefix",
    "hooks",
]
NUMBERS = UNLIMITED_AT_ZERO + COUNTS + NEVER_AT_ZERO + ABOVE_ZERO

DEPRECATED = {
    "write_wait": "send_timeout",
    "internal_queue_timeout": "slow_consumer",
    "internal_queue_buffer": "inbound_max_messages",
    "dispatch_concurrency": "max_concurrent_handlers",
    "send_channel_buffer": "outbound_max_messages",
    "receive_channel_buffer": "inbound_max_messages",
}


def test_these_are_all_fields():
    assert sorted(each.name for each in fields(Options)) == sorted(NUMBERS + OTHERS)


def test_options_are_given_by_name_only():
    with pytest.raises(TypeError, match="positional"):
        Options(1024)


@pytest.mark.parametrize("field", NUMBERS)
def test_a_number_is_kept_as_it_was_given(field):
    # heartbeat_timeout has to be above it
    options = Options(**{"heartbeat_interval": 0.1, field: 7})

    assert getattr(options, field) == 7


@pytest.mark.parametrize("field", UNLIMITED_AT_ZERO + NEVER_AT_ZERO)
def test_zero_switches_a_limit_off(field):
    assert getattr(Options(**{field: 0}), field) == 0


@pytest.mark.parametrize("field", NEVER_AT_ZERO + ABOVE_ZERO)
def test_rates_and_times_may_be_fractions(field):
    options = Options(**{"heartbeat_interval": 0.1, field: 0.5})

    assert getattr(options, field) == 0.5


@pytest.mark.parametrize("field", NUMBERS)
@pytest.mark.parametrize("value", [-1, math.nan, math.inf, True, "7", None])
def test_what_is_no_sensible_number_is_refused(field, value):
    with pytest.raises(ValueError, match=f"^Options.{field} must be a .*number .*got"):
        Options(**{field: value})


@pytest.mark.parametrize("field", COUNTS + ABOVE_ZERO)
def test_zero_is_refused_where_it_makes_no_sense(field):
    with pytest.raises(ValueError, match=f"^Options.{field} must be .*, got 0$"):
        Options(**{field: 0})


@pytest.mark.parametrize("field", UNLIMITED_AT_ZERO + COUNTS)
def test_what_is_counted_is_a_whole_number(field):
    with pytest.raises(ValueError, match=f"^Options.{field} must be a whole number"):
        Options(**{field: 7.0})


@pytest.mark.parametrize("policy", SlowConsumerPolicy)
@pytest.mark.parametrize("given", [SlowConsumerPolicy, str])
def test_a_policy_may_be_given_by_its_value(policy, given):
    assert Options(slow_consumer=given(policy)).slow_consumer is policy


@pytest.mark.parametrize("value", ["drop", "CLOSE", None, []])
def test_an_unknown_policy_is_answered_with_the_known_ones(value):
    with pytest.raises(
        ValueError, match="slow_consumer must be one of 'close', 'drop_oldest', 'drop_n"
    ):
        Options(slow_consumer=value)


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "null",
        "https://example.com",
        "HTTPS://Example.COM:8443",
        "https://*.example.com",
        "http://[::1]:8000",
        "app+x://local",
    ],
)
def test_an_origin_can_be_allowed(origin):
    assert Options(allowed_origins=[origin]).allowed_origins == (origin,)


@pytest.mark.parametrize(
    "origins",
    [
        "*",
        "https://example.com",
        ["https://example.com/"],
        ["https://example.com/chat"],
        ["example.com"],
        ["https://"],
        ["https://a.*.com"],
        ["https://*example.com"],
        ["https://user@example.com"],
        ["https://exam ple.com"],
        ["NULL"],
        [""],
        [b"*"],
        ["*", None],
        None,
    ],
    ids=repr,
)
def test_an_origin_that_no_browser_sends_is_refused(origins):
    with pytest.raises(ValueError, match=r"^Options.allowed_origins must be a list of"):
        Options(allowed_origins=origins)


def test_origins_do_not_follow_the_list_that_they_came_from():
    origins = ["https://example.com"]
    options = Options(allowed_origins=origins)

    origins.append("*")

    assert options.allowed_origins == ("https://example.com",)


@pytest.mark.parametrize("field", ["compression", "trust_forwarded"])
def test_a_switch_is_on_or_off(field):
    assert not getattr(Options(), field)
    assert getattr(Options(**{field: True}), field)
    with pytest.raises(ValueError, match=f"^Options.{field} must be True or False"):
        Options(**{field: 1})


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("node_id", "n1", 1),
        ("namespace", "n1", 1),
        ("key_prefix", "n1", None),
        ("hooks", Hooks(), {}),
    ],
)
def test_a_value_of_another_type_is_refused(field, good, bad):
    assert getattr(Options(**{field: good}), field) is good
    with pytest.raises(ValueError, match=f"^Options.{field} must be .*, got {bad!r}$"):
        Options(**{field: bad})


@pytest.mark.parametrize("field", ["namespace", "key_prefix"])
def test_what_topics_are_made_of_is_not_empty(field):
    with pytest.raises(ValueError, match=f"^Options.{field} must be .* not empty, got"):
        Options(**{field: ""})


@pytest.mark.parametrize("timeout", [30.0, 29.9])
def test_a_node_is_given_longer_than_one_heartbeat(timeout):
    with pytest.raises(
        ValueError, match=rf"heartbeat_timeout must be above .* \(30.0\), got {timeout}"
    ):
        Options(heartbeat_interval=30.0, heartbeat_timeout=timeout)


def test_a_node_may_be_given_little_longer_than_one_heartbeat():
    options = Options(heartbeat_interval=0.1, heartbeat_timeout=0.2)

    assert (options.heartbeat_interval, options.heartbeat_timeout) == (0.1, 0.2)


def test_default_limits_are_those_of_a_bare_transport():
    assert Options().limits == Limits()


@pytest.mark.parametrize("field", [each.name for each in fields(Limits)])
def test_each_limit_is_taken_from_the_option_of_its_name(field):
    assert getattr(Options(**{field: 7}).limits, field) == 7


@pytest.mark.parametrize(("field", "replacement"), DEPRECATED.items())
def test_a_field_of_the_past_warns_and_names_what_replaces_it(field, replacement):
    with pytest.warns(
        DeprecationWarning, match=f"{field} .*use {replacement}"
    ) as caught:
        options = Options(**{field: 5})

    assert options == Options()
    assert caught[0].filename == __file__


def test_every_replacement_exists():
    assert {each.name for each in fields(Options)} >= set(DEPRECATED.values())


def test_options_can_be_replaced_without_a_warning():
    with warnings.catch_warnings(action="error"):
        options = replace(Options(max_connections=5), node_id="n1")

    assert (options.max_connections, options.node_id) == (5, "n1")
