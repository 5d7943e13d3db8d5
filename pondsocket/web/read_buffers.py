"""Read buffers: what the allocator is told about those of asyncio.

For each read asyncio's loop asks for a buffer of 256 KiB and gives back all but what
came. The allocator of glibc takes blocks that large from the kernel, one by one, until
it has seen one freed: "the dynamic mmap threshold", mallopt(3). Whether that ever
happens depends on what else runs in the process; while it does not, each read costs
three more system calls and their page faults, more than all else that it does.
"""

__all__ = ["keep_read_buffers"]

_LARGER_THAN_A_READ = 1 << 20  # bytes


def keep_read_buffers() -> None:
    """Let reads reuse memory, from now on and for the whole process.

    Up to 2 MiB of what is free may stay with the process then. Another allocator, or
    one whose threshold was set (``MALLOC_MMAP_THRESHOLD_``), notices nothing. Every
    adapter calls it when it is made.
    """
    bytes(_LARGER_THAN_A_READ)  # is freed at once, and so seen
