"""The programs in C: compiled the first time they are needed, and when they change."""

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

from benchmarks.fanout.environments import KEPT, UnavailableError

__all__ = ["FLAGS", "SOURCES", "compiled"]

SOURCES = Path(__file__).parent / "sources"
FLAGS = ("-O2", "-Wall", "-Wextra")
ZLIB = ("-DWITH_ZLIB", "-lz")  # for loads that take compressed messages
DEADLINE = 60.0  # seconds for a compiler


def compiled(source: str, folder: Path = KEPT) -> Path:
    """Return the program that ``sources/<source>`` is compiled to.

    Raises:
        UnavailableError: If there is no compiler, or it refuses.
    """
    code = SOURCES / source
    digest = hashlib.sha256()
    for part in (code, *sorted(SOURCES.glob("*.h"))):
        digest.update(part.read_bytes())
    program = folder / f"{code.stem}-{digest.hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "cc.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            made = program.with_suffix(".new")
            if _complaint_of(code, made, *ZLIB) and (
                complaint := _complaint_of(code, made)
            ):
                raise UnavailableError(f"{source}: {complaint}")
            made.rename(program)
    return program


def _complaint_of(code: Path, made: Path, *more: str) -> str:
    """Compile; return "" or what the compiler said when it refused."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise UnavailableError("there is no cc: install a C compiler")
    process = subprocess.run(  # noqa: S603 - the system's compiler
        [compiler, *FLAGS, "-o", made, code, *more],
        check=False,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    return process.stderr or "it failed" if process.returncode else ""
