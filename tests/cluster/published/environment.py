"""The environment in which the published pondsocket runs: made once, and kept.

It lies in the repository's root, where git ignores it.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["Unavailable", "prepare_published"]

ROOT = Path(__file__).parents[3]
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
KEPT = ROOT / ".venv-published"
PATIENCE = 240.0  # seconds for one step, downloads included


class Unavailable(Exception):
    """The published pondsocket cannot be installed on this machine."""


def prepare_published() -> Path:
    """Return the interpreter of an environment that has the published pondsocket.

    Who comes while another process makes the environment waits for it.

    Raises:
        Unavailable: If it cannot be made; says what pip said.
    """
    wanted = REQUIREMENTS.read_text()
    made = KEPT / "made"
    with REQUIREMENTS.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists() or made.read_text() != wanted:
            shutil.rmtree(KEPT, ignore_errors=True)
            _make()
            made.write_text(wanted)
    return KEPT / "bin" / "python"


def _make() -> None:
    _run(Path(sys.executable), "-m", "venv", str(KEPT))
    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    _run(KEPT / "bin" / "python", *pip, "--requirement", str(REQUIREMENTS))


def _run(python: Path, *arguments: str) -> None:
    # what is meant for the Python of the tests is not meant for this one
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    try:
        process = subprocess.run(
            [python, *arguments],
            check=False,
            env=inherited,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(str(error)) from error
    if process.returncode:
        raise Unavailable(f"{process.args} said: {process.stdout}")
