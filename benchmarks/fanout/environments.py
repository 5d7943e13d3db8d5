"""The environments that peers run in: each is made once, and kept.

Git ignores the folder that they lie in. What a peer shares with ours (uvicorn,
websockets, aiohttp) it gets in the version that the environment of this process has. On
another Python than this one ours gets an environment too, with the checkout in it.
"""

import fcntl
import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = [
    "KEPT",
    "OURS",
    "PEERS",
    "UnavailableError",
    "find_python",
    "interpreter_at",
    "interpreter_for",
    "pinned",
    "version_of",
]

ROOT = Path(__file__).parents[2]
KEPT = ROOT / ".venv-bench"
PATIENCE = 240.0  # seconds for one step, downloads included
VERSION = "import sys; print('.'.join(map(str, sys.version_info[:3])))"

OURS = "ours"
UVICORN = ("uvicorn", "websockets", "httptools")
PEERS = {  # without a version: the one that ours runs on
    "aiohttp": ("aiohttp",),
    "picows": ("picows==2.3.1",),
    "published": ("pondsocket==0.0.7", "pondsocket-asgi==0.0.6", *UVICORN),
    "socketio": ("python-socketio==5.18.1", *UVICORN),
    "starlette": ("starlette", *UVICORN),
    "websockets": ("websockets",),
}
OUR_LIBRARIES = ("aiohttp", "h11", "msgspec", "uvloop", "wsproto", *UVICORN)
_refused: dict[Path, str] = {}  # environment -> why it cannot be made
CHECKOUT = ("--editable", str(ROOT))


class UnavailableError(Exception):
    """What is to be measured cannot be installed on this machine."""


def pinned(name: str) -> tuple[str, ...]:
    """Return what pip installs into an environment.

    Raises:
        UnavailableError: If this process's environment lacks a shared library.
    """
    names = OUR_LIBRARIES if name == OURS else PEERS[name]
    try:
        exact = tuple(
            each if "==" in each else f"{each}=={version(each)}" for each in names
        )
    except PackageNotFoundError as error:
        raise UnavailableError(f"not installed: {error.name}") from None
    return (*CHECKOUT, *exact) if name == OURS else exact


def interpreter_for(name: str, folder: Path = KEPT, python: Path | None = None) -> Path:
    """Return the interpreter that a contender runs on; blocks while it is made.

    Who comes while another process makes the environment waits for it.

    Args:
        name: Of the environment.
        folder: Where environments are kept.
        python: Of which Python; by default that of this process, and its environment
            for ours.

    Raises:
        UnavailableError: If it cannot be made; says what pip said.
    """
    if name == OURS and python is None:
        return Path(sys.executable)
    python = python or Path(sys.executable)
    requirements = pinned(name)
    exact = version_of(python)
    wanted = "\n".join((f"Python {exact}", *requirements))
    place = folder / f"{name}-{exact.rpartition('.')[0]}"
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / f"{place.name}.lock"
    return interpreter_at(place, python, requirements, wanted, lock=lock)


def interpreter_at(
    place: Path, python: Path, requirements: Sequence[str], wanted: str, *, lock: Path
) -> Path:
    """Return the interpreter of an environment, which is made unless it is there.

    Args:
        place: The environment's folder.
        python: What it is made of.
        requirements: Arguments of ``pip install``.
        wanted: What the environment depends on; with another text it is made anew.
        lock: A file; who comes while another process has it waits.

    Raises:
        UnavailableError: If it cannot be made; says what pip said.
    """
    made = place / "made"
    with lock.open("a") as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        if not made.exists() or made.read_text(encoding="utf-8") != wanted:
            _make(place, python, requirements)
            made.write_text(wanted, encoding="utf-8")
    return place / "bin" / "python"


def _make(place: Path, python: Path, requirements: Sequence[str]) -> None:
    """Make an environment, unless this process has failed to do so before."""
    if place in _refused:
        raise UnavailableError(_refused[place])
    shutil.rmtree(place, ignore_errors=True)
    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    try:
        _run(python, "-m", "venv", str(place))
        _run(place / "bin" / "python", *pip, *requirements)
    except UnavailableError as error:
        _refused[place] = str(error)
        raise


@functools.cache
def version_of(python: Path) -> str:
    """Return an interpreter's version, such as ``3.13.0``.

    Raises:
        UnavailableError: If it does not run.
    """
    return _run(python, "-c", VERSION).strip()


def find_python(version: str) -> Path | None:
    """Return an interpreter of a version such as ``3.13``: of the PATH, or pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = shutil.which(f"python{version}")
    candidates = [
        *([Path(found)] if found else []),
        *sorted((pyenv / "versions").glob(f"{version}.*/bin/python")),
    ]
    for candidate in candidates:
        try:
            is_right = version_of(candidate).startswith(f"{version}.")
        except UnavailableError:  # pyenv's stand-in for a version that is not chosen
            continue
        if is_right:
            return candidate
    return None


def _run(python: Path, *arguments: str) -> str:
    # what is meant for this Python is not meant for that one
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    try:
        process = subprocess.run(  # noqa: S603 - an interpreter and our own arguments
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
        raise UnavailableError(str(error)) from error
    if process.returncode:
        raise UnavailableError(f"{python.name} said: {process.stdout.strip()}")
    return process.stdout
