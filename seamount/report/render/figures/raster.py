"""One sample: its spikes and its picture."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode

from markupsafe import Markup

from seamount.errors import plural
from seamount.shown import html

from ...parts.raster import Picture, RasterRow
from ...schema.values import Missing
from ..charts import figure, rule, stretched


def raster_panel(row: RasterRow, n_steps: int) -> Markup:
    """Deployed spikes filled, float ones outlined: a filled outline agrees, the other two do not.

    A gap parts the neurons that differ most from the typical ones.
    """
    cell, gap, width = 8, 10, 1000 / n_steps
    height = cell * len(row.neurons) + (gap if row.n_worst is not None else 0)
    shapes: dict[str, list[str]] = {"agree": [], "only-deployed": [], "only-float": []}
    for i, deployed in enumerate(row.steps_deployed):
        other = set(deployed) if isinstance(row.steps_float, Missing) else set(row.steps_float[i])
        for css, steps in (
            ("agree", set(deployed) & other),
            ("only-deployed", set(deployed) - other),
            ("only-float", other - set(deployed)),
        ):
            for step in sorted(steps):
                below = gap if row.n_worst is not None and i >= row.n_worst else 0
                x, y = (step - 1) * width + 0.12 * width, i * cell + below + 1.5
                shapes[css].append(f"M{x:.1f} {y:g}h{0.76 * width:.1f}v{cell - 3}h{-0.76 * width:.1f}z")
    grid = (
        "".join(f'<path d="M{k * width:.1f} 0V{height}" class="rule"/>' for k in range(n_steps + 1))
        if n_steps <= 64
        else ""
    )
    paths = "".join(f'<path d="{"".join(d)}" class="spike {css}"/>' for css, d in shapes.items() if d)
    over = f"{n_steps} {plural(n_steps, 'step')}"
    label = f"{row.name}: spikes of {len(row.neurons)} of {row.n_neurons} neurons over {over}"
    if row.n_agree is not None:
        label += f"; {row.n_agree} agree, {row.n_only_float} only float, {row.n_only_deployed} only deployed"
    parting = []
    if row.n_worst is not None:
        middle = cell * row.n_worst + gap / 2
        parting.append(rule(0, middle, 1, middle, "axis"))
        label += f"; the upper {row.n_worst} differ most, the others are typical"
    return figure(height, label, [stretched(height, grid + paths), *parting])


def picture(found: Picture, label: str) -> Markup:
    """The input as a small grey PNG."""
    rows = found.rows
    raw = b"".join(b"\0" + bytes(row) for row in rows)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")
    source = b64encode(png).decode()
    return Markup(
        f'<img class="picture" width="144" height="{144 * len(rows) // len(rows[0])}" alt="{html(label)}" '
        f'src="data:image/png;base64,{source}">'
    )
