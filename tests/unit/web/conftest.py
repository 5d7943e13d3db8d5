import pytest

from pondsocket import Event, Frame, uuid


@pytest.fixture
def frame():
    """Make a frame whose payload is a number."""

    def make(number=1):
        return Frame(Event("BROADCAST", "/chat/1", uuid(), "news", {"n": number}))

    return make
