"""Aborting: a connection is cut off, even one that has just ended."""

from pondsocket.web import abort


class Wire:
    """The write side of a connection."""

    def __init__(self, error=None):
        self.error = error
        self.is_cut = False

    def abort(self):
        if self.error is not None:
            raise self.error
        self.is_cut = True


def test_a_connection_is_cut_off():
    wire = Wire()

    abort(wire)

    assert wire.is_cut


def test_one_that_has_let_go_of_its_loop_raises_nothing():
    abort(Wire(AttributeError("'NoneType' object has no attribute 'call_soon'")))
