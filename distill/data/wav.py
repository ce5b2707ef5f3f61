"""Sound from .wav files: whole numbers of one channel, read by Python's ``wave``."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seamount.errors import InputError
from seamount.foreign.limits import NETWORK_BYTES
from seamount.foreign.whole import file_bytes

ENDING = ".wav"

PCM = "needed are whole numbers (PCM) of 8 to 32 bits"
CONVERT = "convert it, as `ffmpeg -i IN -ac 1 -c:a pcm_s16le OUT`"

FORMATS = {"3": "real numbers", "6": "A-law", "7": "mu-law", "65534": "the extensible form"}
"""Of the numbers that a file gives to its format, those that are met."""


FORMS = {b"RIFX": "the highest byte first", b"RF64": "for more than 4 GiB"}


def read_wav(path: Path, rate: int, longest: int, *, cut: bool) -> NDArray[np.int64]:
    """The upper 16 bits of every value, (n,).

    Args:
        rate: values a second; a file of another rate is refused.
        longest: number of values above which a file is refused, or cut.

    Raises:
        InputError: not such a file, too short for what its head says, of several channels, or without a value.
    """
    content = file_bytes(path, NETWORK_BYTES)
    try:
        with wave.open(io.BytesIO(content)) as file:
            channels, width, own_rate, n = file.getparams()[:4]
            values = file.readframes(n)
    except (wave.Error, EOFError, RuntimeError) as error:  # the last of a chunk that ends before it begins
        raise _not_readable(path, content[:4], error) from None
    if channels != 1:
        raise InputError(f"{channels} channels", where=path, possible="needed is one", ways_out=CONVERT)
    if own_rate != rate:
        found = f"{own_rate} values a second, data.sample_rate is {rate}"
        raise InputError(
            found, where=path, ways_out=("set data.sample_rate, if all recordings have it", "convert it")
        )
    if len(values) != n * width:
        found = f"{len(values) // width} values, its head says {n}"
        raise InputError(found, where=path, ways_out="fetch it again")
    if n == 0:
        raise InputError("no sound in it", where=path)
    if n > longest and not cut:
        found = f"{n / rate:.2f} s, the steps hear {longest / rate:.2f} s"
        ways = ("set data.cut_longer = true", "more steps, student.n_steps", "longer ones, data.step_s")
        raise InputError(found, where=path, ways_out=ways)
    return _upper_bits(values[: longest * width], width, path)


def _not_readable(path: Path, start: bytes, error: Exception) -> InputError:
    said = str(error)
    if start in FORMS:
        return InputError(f"sound of the form {start.decode()}, {FORMS[start]}", where=path, ways_out=CONVERT)
    number = said.removeprefix("unknown format: ")
    if number != said:
        kind = f", {FORMATS[number]}" if number in FORMATS else ""
        return InputError(f"sound of format {number}{kind}", where=path, possible=PCM, ways_out=CONVERT)
    return InputError(f"not a readable .wav file ({said or 'it ends too early'})", where=path)


def _upper_bits(values: bytes, width: int, path: Path) -> NDArray[np.int64]:
    """A file's 8 bits have no sign, wider values do; the lowest byte comes first."""
    match width:
        case 1:
            return (np.frombuffer(values, np.uint8).astype(np.int64) - 128) << 8
        case 2 | 3 | 4:
            by_value = np.frombuffer(values, np.uint8).reshape(-1, width)
            return np.ascontiguousarray(by_value[:, -2:]).view("<i2")[:, 0].astype(np.int64)
        case _:
            raise InputError(f"{8 * width} bits a value", where=path, possible=PCM, ways_out=CONVERT)
