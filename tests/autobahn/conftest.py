"""What the tests with Autobahn's suite share."""

from pathlib import Path

import pytest

from tests.autobahn.python2 import MISSING, find_python2, prepare_suite


@pytest.fixture(scope="module")
def suite() -> Path:
    """The interpreter that has Autobahn's suite."""
    python2 = find_python2()
    if python2 is None:
        pytest.skip(MISSING)
    return prepare_suite(python2)
