"""What applications import from ``pondsocket.distributed``."""

import sys

import pytest

import pondsocket_redis
from pondsocket import distributed


def test_every_name_that_is_offered_is_there():
    assert set(distributed.__all__) == {"Emitter", "RedisPubSub", "SyncEmitter"}
    assert all(hasattr(distributed, name) for name in distributed.__all__)


def test_the_redis_backend_is_the_class_of_its_package():
    assert distributed.RedisPubSub is pondsocket_redis.RedisPubSub


def test_another_name_is_an_attribute_that_is_missing():
    with pytest.raises(AttributeError, match="has no attribute 'KafkaPubSub'"):
        _ = distributed.KafkaPubSub


@pytest.fixture
def without(monkeypatch):
    """Make this a process in which a library is missing, and nothing uses it yet."""

    def without(library):
        for name in [n for n in sys.modules if n.startswith("pondsocket_redis")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, library, None)

    return without


def test_a_missing_extra_is_answered_with_its_install_command(without):
    without("redis.asyncio")

    with pytest.raises(ModuleNotFoundError, match=r'pip install "pondsocket\[redis\]"'):
        _ = distributed.RedisPubSub


def test_another_missing_module_stays_what_it_is(without):
    without("pondsocket_redis.pubsub")

    with pytest.raises(ModuleNotFoundError, match=r"pondsocket_redis\.pubsub"):
        _ = distributed.RedisPubSub
