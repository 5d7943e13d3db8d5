"""The event names that the server refuses to send."""

import pytest

from pondsocket.errors import BadRequest
from pondsocket.event_names import check_event_name


@pytest.mark.parametrize("name", ["ACKNOWLEDGE", "UNAUTHORIZED", "CONNECTION"])
def test_a_name_on_which_the_stock_client_acts_is_refused(name):
    with pytest.raises(BadRequest, match=f"'{name}' is reserved") as caught:
        check_event_name(name, "/chat/1")

    assert caught.value.channel_name == "/chat/1"


def test_an_empty_name_is_refused():
    with pytest.raises(BadRequest, match="expected a name"):
        check_event_name("", "/chat/1")


@pytest.mark.parametrize("name", ["news", "EVICTED", "acknowledge", "NOT_FOUND", " "])
def test_any_other_name_may_be_sent(name):
    check_event_name(name, "/chat/1")
