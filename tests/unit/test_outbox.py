"""What waits for one connection."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pondsocket.outbox import Outbox


@dataclass
class Item:
    size: int


def outbox_of(*sizes, max_messages=0, max_bytes=0):
    outbox = Outbox(max_messages, max_bytes)
    for size in sizes:
        outbox.append(Item(size))
    return outbox


def test_items_leave_in_the_order_in_which_they_came():
    outbox = outbox_of(1, 2, 3)

    assert [outbox.pop().size for _ in range(3)] == [1, 2, 3]
    assert len(outbox) == outbox.size == 0


def test_what_is_put_back_is_first():
    outbox = outbox_of(1, 2)

    outbox.put_back(Item(7))

    assert [item.size for item in outbox] == [7, 1, 2]
    assert outbox.size == 10


def test_what_is_put_back_into_an_empty_outbox_waits():
    outbox = outbox_of()

    outbox.put_back(Item(7))

    assert outbox.pop() == Item(7)


def test_nothing_can_be_taken_from_an_empty_outbox():
    with pytest.raises(IndexError):
        outbox_of().pop()


def test_clearing_tells_how_much_was_dropped():
    outbox = outbox_of(1, 2)

    assert outbox.clear() == 2
    assert (len(outbox), outbox.size, list(outbox)) == (0, 0, [])
    assert outbox.clear() == 0


@pytest.mark.parametrize(
    ("sizes", "marks", "fits"),
    [
        ([], {"max_bytes": 1}, True),  # one item of any size
        ([4], {"max_messages": 2}, True),
        ([4, 4], {"max_messages": 2}, False),
        ([4], {"max_bytes": 8}, True),
        ([5], {"max_bytes": 8}, False),
        ([5] * 100, {}, True),
    ],
)
def test_an_item_fits_below_both_marks(sizes, marks, fits):
    assert outbox_of(*sizes, **marks).fits(Item(4)) is fits


@given(st.lists(st.one_of(st.integers(0, 9), st.just("pop"), st.just("back"))))
def test_it_behaves_as_a_list_does(steps):
    outbox, model = outbox_of(), []
    for step in steps:
        if step == "back":
            outbox.put_back(Item(5))
            model.insert(0, 5)
        elif step != "pop":
            outbox.append(Item(step))
            model.append(step)
        elif model:
            assert outbox.pop().size == model.pop(0)
        assert [item.size for item in outbox] == model
        assert (len(outbox), outbox.size) == (len(model), sum(model))
