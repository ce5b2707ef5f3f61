"""Looks for damage in the text heaps of an HDF5 file that would make the HDF5 library itself hang or fill the memory.

HDF5 keeps texts of variable length in global heaps ("GCOL"): a header of 16 bytes (signature, version, size) and
objects, each with a header of 16 bytes (index, count, size). The library takes the sizes on trust: a heap that claims
4 GiB is allocated and cleared, and free space of size 0 is walked over for ever.
"""

from __future__ import annotations

from mmap import mmap

HEAP = b"GCOL\x01\x00\x00\x00"
HEADER = 16


def heap_damage(data: bytes | mmap, size: int) -> str | None:
    """What is wrong with a heap of this file, in words; None if nothing is."""
    at = data.find(HEAP)
    while at >= 0:
        claimed = int.from_bytes(data[at + len(HEAP) : at + HEADER], "little")
        if claimed > size or claimed < HEADER:
            return f"a heap of {claimed} bytes in a file of {size}; the file is damaged"
        here, end = at + HEADER, min(at + claimed, size)
        while here + HEADER <= end:
            index = int.from_bytes(data[here : here + 2], "little")
            length = int.from_bytes(data[here + 8 : here + HEADER], "little")
            taken = HEADER + -(-length // 8) * 8 if index else length
            if taken < 8 or here + taken > at + claimed:
                return f"a text of {length} bytes in a heap of {claimed}; the file is damaged"
            here += taken
        at = data.find(HEAP, at + 1)
    return None
