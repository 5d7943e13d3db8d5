"""The browser client, ``pondsocket/static/pondsocket.js``, tested by node's runner."""

import shutil
import subprocess
from pathlib import Path

import pytest

SUITES = sorted((Path(__file__).parent / "js").glob("*.test.mjs"))
NODE = shutil.which("node")

pytestmark = pytest.mark.skipif(
    NODE is None,
    reason="node is not installed: the browser client's tests need node 20 or newer",
)


@pytest.mark.parametrize("suite", SUITES, ids=lambda path: path.name)
def test_the_browser_client_passes_its_suite(suite: Path) -> None:
    result = subprocess.run(
        [str(NODE), "--test", "--test-reporter=spec", suite],
        capture_output=True,
        text=True,
        timeout=15,
        check=False,
    )

    assert result.returncode == 0, result.stdout + result.stderr


def test_there_are_suites_to_run() -> None:
    assert SUITES
