import subprocess
import sys
from uuid import UUID

from pondsocket.ids import uuid


def test_an_id_is_a_random_uuid_in_its_usual_form():
    made = uuid()

    assert str(UUID(made)) == made
    assert UUID(made).version == 4


def test_no_two_ids_are_equal():
    assert len({uuid() for _ in range(1000)}) == 1000


def test_every_bit_but_those_of_version_and_variant_varies():
    made = [UUID(uuid()).int for _ in range(1000)]
    fixed = 0b1111 << 76 | 0b11 << 62

    varies = 0
    for each in made:
        varies |= each ^ made[0]
    assert varies == 2**128 - 1 & ~fixed


def test_a_forked_child_makes_ids_of_its_own():
    uuid()
    code = (
        "import os, sys; from pondsocket.ids import uuid; uuid();"
        "r, w = os.pipe(); child = os.fork();"
        "os.write(w, uuid().encode()) if not child else os.waitpid(child, 0);"
        "os._exit(0) if not child else print(os.read(r, 36).decode() != uuid())"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, timeout=10
    )

    assert done.stdout.strip() == b"True"
