"""How long a message a server lets through to the core."""

from pondsocket import Options
from pondsocket.web import size_limit_for


def test_a_server_lets_a_little_more_through_so_that_the_core_refuses_it():
    assert size_limit_for(Options(max_message_size=1000)) == 5096


def test_without_a_limit_of_ours_a_server_has_none():
    assert size_limit_for(Options(max_message_size=0)) is None
