"""The allocator under asyncio's reads, in a process of its own for each adapter."""

import ctypes
import subprocess
import sys

import pytest

ADAPTERS = {
    "asgi": "from pondsocket_asgi import PondASGIApp as Adapter",
    "aiohttp": "from pondsocket_aiohttp.handler import PondHandler as Adapter",
    "websockets": "from pondsocket_websockets import PondHandler as Adapter",
}
FIELDS = 10  # of struct mallinfo2, mallinfo(3); the fourth counts mapped blocks
COUNT_MAPPED = f"""
import ctypes

class Info(ctypes.Structure):
    _fields_ = [(f"field_{{n}}", ctypes.c_size_t) for n in range({FIELDS})]

mallinfo = ctypes.CDLL(None).mallinfo2
mallinfo.restype = Info
before = mallinfo().field_3
held = bytes(256 * 1024)  # what asyncio asks for
print(mallinfo().field_3 - before)
"""


def count_mapped(preparation):
    """Return how many blocks the kernel is asked for when asyncio reads."""
    if not hasattr(ctypes.CDLL(None), "mallinfo2"):
        pytest.skip("only glibc tells what it does")
    done = subprocess.run(
        [sys.executable, "-c", preparation + COUNT_MAPPED],
        capture_output=True, check=True, text=True, timeout=20,
    )  # fmt: skip
    return int(done.stdout)


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_has_reads_reuse_memory(name):
    made = f"from pondsocket import PondSocket\n{ADAPTERS[name]}\n"

    assert count_mapped(f"{made}Adapter(PondSocket())") == 0


def test_a_fresh_process_asks_the_kernel_for_each_read():
    assert count_mapped("") == 1
