"""Topics, and finding the backend for a URL."""

import sys
from types import SimpleNamespace

import pytest

from pondsocket import LocalPubSub, pubsub
from pondsocket.pubsub import (
    PubSub,
    ReconnectAware,
    end_subscription,
    format_heartbeat_topic,
    format_message_topic,
    format_presence_topic,
    format_system_topic,
    format_topic,
    match_topic,
    open_pubsub,
)


class OldBackend:
    """A PubSub as published in 0.0.7: `unsubscribe` takes the pattern alone."""

    async def subscribe(self, pattern, handler): ...
    async def unsubscribe(self, pattern): ...
    async def publish(self, topic, data): ...
    async def close(self): ...


class Opened(OldBackend):
    """A backend that remembers its URL."""

    def __init__(self, url):
        self.url = url


class Entry:
    """An entry point: what loading it does is up to the test."""

    def __init__(self, name, load):
        self.name = name
        self.value = f"{name}_backend:open"
        self.load = load


@pytest.fixture
def install(monkeypatch):
    """Let `open_pubsub` find these entry points, and no others."""

    def install(**loaders):
        entries = [Entry(scheme, load) for scheme, load in loaders.items()]
        groups = {"pondsocket.pubsub": entries}
        monkeypatch.setattr(pubsub, "entry_points", lambda *, group: groups[group])

    return install


def missing(name):
    def load():
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    return load


def test_a_backend_of_the_published_version_is_a_pubsub():
    assert isinstance(OldBackend(), PubSub)


def test_a_backend_need_not_know_of_reconnects():
    aware = SimpleNamespace(on_reconnect=lambda callback: None)

    assert isinstance(aware, ReconnectAware)
    assert not isinstance(OldBackend(), ReconnectAware)


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        (format_topic("chat", "/room/1", "say"), "pondsocket:v1:default:chat:/room/1"),
        (format_presence_topic("chat", "room"), "pondsocket:v1:default:chat:room"),
        (format_message_topic("chat", "room"), "pondsocket:v1:default:chat:room"),
        (format_system_topic("stop"), "pondsocket:v1:default:system:stop"),
        (format_heartbeat_topic(), "pondsocket:v1:default:__heartbeat__"),
    ],
)
def test_topics_are_those_of_published_nodes(topic, expected):
    assert topic == expected


@pytest.mark.parametrize(
    "topic",
    [
        format_topic("chat", "room", "say", namespace="n", prefix="p"),
        format_presence_topic("chat", "room", namespace="n", prefix="p"),
        format_message_topic("chat", "room", namespace="n", prefix="p"),
        format_system_topic("stop", namespace="n", prefix="p"),
        format_heartbeat_topic(namespace="n", prefix="p"),
    ],
)
def test_namespace_and_prefix_come_first_in_every_topic(topic):
    assert topic.startswith("p:v1:n:")


def test_all_events_of_a_channel_share_its_topic():
    topics = {format_topic("chat", "room", event) for event in ("say", "wave")}

    assert topics == {format_topic("chat", "room")}


@pytest.mark.parametrize(
    ("endpoint", "part"),
    [("/chat", "chat"), ("/api/chat", "api/chat"), ("/", ""), ("//a/b/", "/a/b/")],
)
def test_an_endpoint_loses_one_leading_slash_in_a_topic(endpoint, part):
    assert format_topic(endpoint, "/room") == f"pondsocket:v1:default:{part}:/room"


@pytest.mark.parametrize(
    ("pattern", "topic"),
    [
        ("a", "a"),
        ("", ""),
        ("a.*", "a"),
        ("a.*", "ab"),
        ("a.*", "a.b.c"),
        ("a.*", "a.*"),
        ("a*.*", "a*b"),
        (".*", ".*"),
    ],
)
def test_a_pattern_matches(pattern, topic):
    assert match_topic(pattern, topic)


@pytest.mark.parametrize(
    ("pattern", "topic"),
    [
        ("a", "b"),
        ("a", "ab"),
        ("a.*", ""),
        ("a.*", "b"),
        ("a*", "ab"),
        ("*", "a"),
        (".*", "a"),
        (".*", ""),
        ("a.*.b", "a.x.b"),
        ("[ab]", "a"),
    ],
)
def test_a_pattern_does_not_match(pattern, topic):
    assert not match_topic(pattern, topic)


def test_a_url_is_opened_by_the_backend_of_its_scheme(install):
    install(other=missing("other"), mine=lambda: Opened)

    assert open_pubsub("mine://host:1/x?y=z").url == "mine://host:1/x?y=z"


def test_the_backend_decides_what_a_url_becomes(install):
    backend = OldBackend()
    install(mine=lambda: lambda url: backend)

    assert open_pubsub("mine://") is backend


def test_a_scheme_is_found_in_any_case(install):
    install(mine=lambda: Opened)

    assert open_pubsub("MINE://host").url == "MINE://host"


@pytest.mark.parametrize(
    ("scheme", "extra"),
    [("redis", "redis"), ("rediss", "redis"), ("nats", "nats"), ("tls", "nats")],
)
def test_a_known_backend_that_is_absent_names_its_install_command(
    install, scheme, extra
):
    install()

    with pytest.raises(
        ModuleNotFoundError, match=rf'{scheme}://.*pip install "pondsocket\[{extra}\]"'
    ):
        open_pubsub(f"{scheme}://host")


@pytest.mark.parametrize("module", ["redis", "redis.asyncio"])
def test_a_backend_without_its_library_names_the_install_command(install, module):
    install(redis=missing(module))

    with pytest.raises(ModuleNotFoundError, match=r"pip install") as caught:
        open_pubsub("redis://host")

    assert caught.value.__cause__.name == module


@pytest.mark.parametrize("module", ["redistools", "pondsocket.redis", "nats", None])
def test_any_other_missing_module_stays_what_it_is(install, module):
    install(redis=missing(module))

    with pytest.raises(ModuleNotFoundError, match="No module named"):
        open_pubsub("redis://host")


def test_a_missing_module_of_a_foreign_backend_stays_what_it_is(install):
    install(mine=missing("redis"))

    with pytest.raises(ModuleNotFoundError, match="No module named"):
        open_pubsub("mine://host")


@pytest.mark.parametrize("url", ["kafka://host", "redis", "redis:host", "", "://x"])
def test_a_url_for_no_backend_says_which_there_are(install, url):
    install(mine=lambda: Opened)

    with pytest.raises(ValueError, match=r"'mine', 'nats', 'redis', 'rediss', 'tls'"):
        open_pubsub(url)


@pytest.mark.parametrize("url", ["redis://:secret@host", "kafka://:secret@host"])
def test_no_error_repeats_the_password_of_a_url(install, url):
    install()

    with pytest.raises((ModuleNotFoundError, ValueError)) as caught:
        open_pubsub(url)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("opened", [None, "mine://"])
def test_what_a_backend_opens_must_be_a_pubsub(install, opened):
    install(mine=lambda: lambda url: opened)

    with pytest.raises(TypeError, match=r"PubSub from the backend of mine://, got "):
        open_pubsub("mine://host")


# Packages of others, as they are installed.

BACKEND = """
from pondsocket import LocalPubSub

class Foreign(LocalPubSub):
    def __init__(self, url):
        super().__init__()
        self.url = url
"""


@pytest.fixture
def publish_package(tmp_path, monkeypatch):
    """Install a package that registers schemes, as pip would."""

    def publish_package(name, **schemes):
        site = tmp_path / name
        metadata = site / f"{name}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Name: {name}\nVersion: 1.0\n")
        lines = [f"{scheme} = {value}" for scheme, value in schemes.items()]
        (metadata / "entry_points.txt").write_text(
            "[pondsocket.pubsub]\n" + "\n".join(lines)
        )
        (site / f"{name}.py").write_text(BACKEND)
        monkeypatch.syspath_prepend(site)

    yield publish_package
    for module in ("pigeons", "falcons"):
        sys.modules.pop(module, None)


def test_a_package_of_others_may_register_several_schemes(publish_package):
    publish_package("pigeons", dove="pigeons:Foreign", doves="pigeons:Foreign")

    for url in ("dove://roof", "doves://roof"):
        assert open_pubsub(url).url == url


def test_a_package_of_others_leaves_our_schemes_as_they_are(publish_package):
    publish_package("pigeons", dove="pigeons:Foreign")

    assert type(open_pubsub("memory://roof")) is LocalPubSub


def test_a_scheme_that_two_packages_open_is_refused(publish_package):
    publish_package("pigeons", dove="pigeons:Foreign")
    publish_package("falcons", dove="falcons:Foreign")

    with pytest.raises(
        ValueError, match=r"all but one: \['falcons:Foreign', 'pigeons:Foreign'\]"
    ):
        open_pubsub("dove://roof")


@pytest.mark.parametrize("kind", ["pattern alone", "pattern and handler"])
async def test_a_subscription_ends_whatever_unsubscribe_takes(kind):
    calls = []

    class Backend(OldBackend):
        if kind == "pattern alone":

            async def unsubscribe(self, pattern):
                calls.append((pattern,))

        else:

            async def unsubscribe(self, pattern, handler=None):
                calls.append((pattern, handler))

    await end_subscription(Backend(), "topic", print)

    assert calls == [("topic",) if kind == "pattern alone" else ("topic", print)]
