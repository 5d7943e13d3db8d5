"""Python 2.7, in which Autobahn's test suite runs, and a virtual environment with it.

The environment is made once and kept in the repository's root, where git ignores it.
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

__all__ = ["MISSING", "find_python2", "prepare_suite", "pyenv_root"]

MISSING = "Python 2.7 is not installed (pyenv install 2.7.18)"

ROOT = Path(__file__).parents[2]
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
KEPT = ROOT / ".venv-autobahn"
VIRTUALENV = "virtualenv==20.15.1"  # the last that runs on Python 2.7
PATIENCE = 240.0  # seconds for one step, downloads included


def find_python2() -> Path | None:
    """Return a Python 2.7 that has pip: of POND_PYTHON2, of pyenv or of the PATH.

    None if there is no Python 2.7 at all. One whose pip does not work is no reason to
    go without: if there are only such, that is an AssertionError.
    """
    broken = []
    for candidate in _candidates():
        try:
            _run(candidate, "-m", "pip", "--version")
        except (OSError, AssertionError, subprocess.TimeoutExpired) as error:
            broken.append(str(error))
        else:
            return candidate
    assert not broken, f"expected a Python 2.7 with pip, found: {'; '.join(broken)}"
    return None


def pyenv_root() -> Path:
    """Return where pyenv is, if there is one."""
    return Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))


def prepare_suite(python2: Path) -> Path:
    """Return the interpreter of an environment in which the suite is installed.

    Who comes while another process makes the environment waits for it.
    """
    wanted = REQUIREMENTS.read_text()
    made = KEPT / "made"
    with REQUIREMENTS.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists() or made.read_text() != wanted:
            shutil.rmtree(KEPT, ignore_errors=True)
            _make(python2)
            made.write_text(wanted)
    return KEPT / "python2" / "bin" / "python"


def _candidates() -> Iterator[Path]:
    if chosen := os.environ.get("POND_PYTHON2"):
        yield Path(chosen)
    pyenv = pyenv_root()
    yield from sorted(pyenv.glob("versions/2.7*/bin/python2.7"), reverse=True)
    found = shutil.which("python2.7")
    # pyenv's shims are there without a Python, and what is behind them came before
    if found and not Path(found).is_relative_to(pyenv / "shims"):
        yield Path(found)


def _make(python2: Path) -> None:
    tool, environment = KEPT / "virtualenv", KEPT / "python2"
    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    _run(python2, *pip, "--target", str(tool), VIRTUALENV)
    _run(python2, "-m", "virtualenv", str(environment), PYTHONPATH=str(tool))
    python = environment / "bin" / "python"
    _run(python, *pip, "--no-deps", "--requirement", str(REQUIREMENTS))


def _run(python: Path, *arguments: str, **environment: str) -> None:
    # what is meant for the Python of the tests is not meant for this one
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    process = subprocess.run(
        [python, *arguments],
        check=False,
        env={**inherited, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
    )
    assert process.returncode == 0, f"{process.args} said: {process.stdout}"
