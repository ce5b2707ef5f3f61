"""Images, whose size is looked at before their pixels are unpacked."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from seamount.errors import InputError

from .limits import NETWORK_BYTES, PIXELS
from .whole import first_line, regular

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "PPM")
"""Of the endings that data sets name; others would be tried by what the bytes look like."""


def read_image(source: Path | bytes) -> Image.Image:
    """An image in RGB, of 16 bits the upper 8.

    What is wrong with it is said without its name: callers count and name damaged files.

    Raises:
        InputError: no image of ``FORMATS``, damaged, or of more pixels than the limit.
    """
    if isinstance(source, Path):
        regular(source, NETWORK_BYTES)
    try:
        with warnings.catch_warnings():
            # Pillow's own limit is twice the one at which it warns; ours is checked below
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            file = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)
        with file:
            PIXELS.check(file.width * file.height, "", f"{file.width} x {file.height} pixels")
            if file.mode.startswith("I"):  # grey of 16 bits, of which Pillow makes white from level 256 on
                return Image.fromarray((np.asarray(file) >> 8).astype(np.uint8)).convert("RGB")
            return file.convert("RGB")
    except UnidentifiedImageError:  # names the address of a buffer
        raise InputError(f"not a readable image (none of {', '.join(FORMATS)}, or damaged)") from None
    except InputError:
        raise
    except Exception as error:  # each format has its own
        raise InputError(f"not a readable image ({first_line(error)})") from None
