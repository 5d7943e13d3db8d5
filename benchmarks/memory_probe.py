"""Tells from inside a server process what memory it holds, whatever host runs it.

A module that a host imports calls ``start()``: a thread then answers each connection to
the UNIX socket that MEMORY_PROBE names, after a collection of garbage.
"""

import ctypes
import gc
import json
import os
import socket
import threading
import tracemalloc
from pathlib import Path

__all__ = ["VARIABLE", "start"]

VARIABLE = "MEMORY_PROBE"
TRACED = "MEMORY_TRACE"  # set: which lines of code hold what was allocated


def start() -> None:
    """Begin to answer, if the variable is set."""
    path = os.environ.get(VARIABLE)
    if path is None:
        return
    if os.environ.get(TRACED):
        tracemalloc.start()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    threading.Thread(target=_answer, args=(listener,), daemon=True).start()


def _answer(listener: socket.socket) -> None:
    trim = ctypes.CDLL(None).malloc_trim
    earlier: tracemalloc.Snapshot | None = None
    while True:
        connection, _ = listener.accept()
        with connection:
            for _ in range(3):  # what is freed may free more
                gc.collect()
            trim(0)
            answer = _read_memory()
            if tracemalloc.is_tracing():
                taken = tracemalloc.take_snapshot()
                answer["lines"] = _compare(taken, earlier)
                earlier = taken
            connection.sendall(json.dumps(answer).encode())


def _read_memory() -> dict[str, object]:
    """Return bytes: all resident ones, and those of no file.

    Pages of files come and go with what other processes map and the kernel reclaims.
    """
    sizes = {}
    for line in Path("/proc/self/smaps_rollup").read_text(encoding="ascii").split("\n"):
        name, _, rest = line.partition(":")
        if rest.endswith(" kB"):
            sizes[name] = int(rest.split()[0]) * 1024
    return {
        "resident": sizes["Rss"],
        "anonymous": sizes["Anonymous"],
    }


def _compare(
    taken: tracemalloc.Snapshot, earlier: tracemalloc.Snapshot | None
) -> list[tuple[str, int]]:
    """Return by how many bytes each line of code holds more."""
    if earlier is None:
        return []
    grown = taken.compare_to(earlier, "lineno")
    return [(str(each.traceback), each.size_diff) for each in grown]
