"""The programs in C, compiled once for all tests; without cc such tests are skipped."""

import shutil
from pathlib import Path

import pytest

from benchmarks.fanout.programs import compiled


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds the compiled load and room."""
    if shutil.which("cc") is None:
        pytest.skip("there is no cc (Debian: apt-get install gcc)")
    folder = tmp_path_factory.mktemp("programs")
    for source in ("load.c", "room.c"):
        compiled(source, folder)
    return folder
