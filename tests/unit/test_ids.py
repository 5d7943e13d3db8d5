from uuid import UUID

from pondsocket.ids import uuid


def test_an_id_is_a_random_uuid_in_its_usual_form():
    made = uuid()

    assert str(UUID(made)) == made
    assert UUID(made).version == 4


def test_no_two_ids_are_equal():
    assert len({uuid() for _ in range(1000)}) == 1000
