"""URLs, and what a client must be connected with."""

import logging

import pytest
from nats.aio.client import Client

from pondsocket_nats.settings import check_client, connect_options

SECRET = "hunter2"


def connected(**options):
    client = Client()
    client._status = Client.CONNECTED
    client.options = {
        "no_echo": False,
        "allow_reconnect": True,
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": 0.5,
        **options,
    }
    return client


@pytest.mark.parametrize(
    ("url", "servers"),
    [
        ("nats://a", ["nats://a"]),
        ("NATS://a:4223", ["nats://a:4223"]),
        ("nats://a,b:1,[::1]:2", ["nats://a", "nats://b:1", "nats://[::1]:2"]),
        ("nats://a/,nats://b", ["nats://a", "nats://b"]),
        ("tls://a", ["tls://a"]),
        (f"nats://u:{SECRET}@a,b", ["nats://a", "nats://b"]),
    ],
)
def test_a_url_names_servers(url, servers):
    assert connect_options(url)["servers"] == servers


def test_user_and_password_hold_for_all_servers_and_are_decoded():
    options = connect_options("nats://me%40work:p%2Cw%3A@a,b")

    assert (options["user"], options["password"]) == ("me@work", "p,w:")


def test_a_user_without_password_is_a_token():
    options = connect_options(f"nats://{SECRET}@a")

    assert options["token"] == SECRET
    assert "user" not in options


def test_nobody_gives_up_and_nothing_is_buffered():
    options = connect_options("nats://a")

    assert options["max_reconnect_attempts"] == -1
    assert options["pending_size"] == -1


@pytest.mark.parametrize(
    "url",
    [
        f"redis://{SECRET}@a",
        f"nats:{SECRET}",
        "nats://",
        "nats://a,,b",
        f"nats://{SECRET}@a:0",
        f"nats://{SECRET}@a:99999",
        f"nats://{SECRET}@a:b",
        f"nats://{SECRET}@[a",
        f"nats://{SECRET}@a/path",
        f"nats://a?{SECRET}=1",
        f"nats://u:{SECRET}@a,v:{SECRET}@b",
        f"nats://u:{SECRET}@a\u2100b",
    ],
)
def test_a_url_that_makes_no_sense_is_refused_without_telling_a_password(url):
    with pytest.raises(ValueError, match=r"expected|several") as caught:
        connect_options(url)

    assert SECRET not in repr(caught.value)


@pytest.mark.parametrize(
    ("client", "reason"),
    [
        (Client(), "must be connected: await"),
        (connected(no_echo=True), "without no_echo"),
        (connected(allow_reconnect=False), "allow_reconnect=True"),
    ],
)
def test_a_client_that_cannot_serve_is_refused(client, reason):
    with pytest.raises(ValueError, match=reason):
        check_client(client)


@pytest.mark.parametrize(
    ("option", "value"), [("max_reconnect_attempts", 60), ("reconnect_time_wait", 2)]
)
def test_a_client_that_may_stay_away_for_long_is_warned_of(option, value, caplog):
    check_client(connected(**{option: value}))

    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert f"{option}={value}" in record.message


def test_a_client_as_it_should_be_is_taken_in_silence(caplog):
    check_client(connected())

    assert not caplog.records
