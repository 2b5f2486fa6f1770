"""Dot products between years in vector instructions: the inner loop of the Gram, written in the compiler's own language.

A loop in Python over one pair of years loads both anew for every product. Three years by three keep their nine sums in
registers and load six vectors for nine products, which the compiler does not find by itself. What is written here names no
processor: it becomes the instruction that multiplies and adds pairs of int16 where there is one.
"""

from __future__ import annotations

from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

LANES = 8
"""Pixels of a vector: nine sums of 8 int32 and their factors fit the registers of any x86-64 with AVX2."""

BLOCK = 3
"""Years a side of the block whose sums stay in registers."""

_SUMS, _WIDE = (ir.VectorType(ir.IntType(32), n) for n in (LANES, 2 * LANES))
_ROW = ir.VectorType(ir.IntType(16), 2 * LANES)


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def year_products(squares: Any, n: int, products: Any, passed: Any) -> None:
    """products[t, u, :n], t <= u: sums over all bands of squares[t] * squares[u], in int32 that may wrap.

    squares (year, pair of bands, 2 pixels) int16, the two bands of a pair side by side, with years in whole BLOCKs.
    passed (year, pixel): negative where a sum of squares, which only grows, was ever beyond int32. All are C-contiguous and
    their rows hold whole vectors; beyond n the last vector is anything.
    """
    years, pairs, row = squares.shape
    pixels = products.shape[2]
    for p in range(0, n, LANES):
        for t in range(0, years, BLOCK):
            left, at = t * pairs * row + 2 * p, t * years * pixels + p
            _square_block(squares, left, row, pairs, products, at + t * pixels, passed, t * pixels + p, years, pixels)
            for u in range(t + BLOCK, years, BLOCK):
                _multiply_blocks(squares, left, u * pairs * row + 2 * p, row, pairs, products, at + u * pixels, years, pixels)


@intrinsic  # type: ignore[misc]
def _multiply_blocks(_, squares, left, right, row, pairs, out, at, years, pixels):  # type: ignore[no-untyped-def]
    """Products of a block of years with a later one, which begin at elements `left` and `right` of squares, to `at` of out."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, left, right, row, pairs, _, at, years, pixels = arguments
        source, target = (_data(context, builder, signature, arguments, k) for k in (0, 5))
        sums, _ = _sum_bands(builder, source, left, right, row, pairs)
        for (i, j), value in sums.items():
            _store(builder, value, target, at, builder.mul(pixels, builder.add(builder.mul(years, pixels.type(i)), pixels.type(j))))
        return context.get_dummy_value()

    return types.void(squares, *(types.intp,) * 4, out, *(types.intp,) * 3), generate


@intrinsic  # type: ignore[misc]
def _square_block(_, squares, left, row, pairs, out, at, passed, beside, years, pixels):  # type: ignore[no-untyped-def]
    """Products of a block of years with itself, and whether its squares passed int32, to element `beside` of passed."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, left, row, pairs, _, at, _, beside, years, pixels = arguments
        source, target, flags = (_data(context, builder, signature, arguments, k) for k in (0, 4, 6))
        sums, passed = _sum_bands(builder, source, left, None, row, pairs)
        for (i, j), value in sums.items():
            _store(builder, value, target, at, builder.mul(pixels, builder.add(builder.mul(years, pixels.type(i)), pixels.type(j))))
        for i, value in enumerate(passed):
            _store(builder, value, flags, beside, builder.mul(pixels, pixels.type(i)))
        return context.get_dummy_value()

    return types.void(squares, *(types.intp,) * 3, out, types.intp, passed, *(types.intp,) * 3), generate


def _sum_bands(b: Any, source: Any, left: Any, right: Any, row: Any, pairs: Any) -> tuple[dict[tuple[int, int], Any], list[Any]]:
    """Emit the loop over pairs of bands: the sums of all (i, j) of two blocks; of one block (right None) i <= j, and flags."""
    whole, zero = row.type, ir.Constant(_SUMS, None)
    members = [(i, j) for i in range(BLOCK) for j in range(i if right is None else 0, BLOCK)]
    before, loop, done = b.basic_block, b.append_basic_block("bands"), b.append_basic_block("summed")
    b.branch(loop)
    b.position_at_end(loop)
    band, offset = b.phi(whole), b.phi(whole)
    sums = {member: b.phi(_SUMS) for member in members}
    flags = [b.phi(_SUMS) for _ in range(BLOCK if right is None else 0)]
    year = b.mul(row, pairs)
    places = [[b.add(b.add(first, b.mul(year, whole(k))), offset) for k in range(BLOCK)] for first in (left, right) if first]
    rows = [[b.load(_vector(b, source, place, _ROW), align=2) for place in block] for block in places]
    total = {(i, j): b.add(sums[i, j], _multiply_add(b, rows[0][i], rows[-1][j])) for i, j in members}
    passed = [b.or_(flag, total[i, i]) for i, flag in enumerate(flags)]
    following = b.add(band, whole(1))
    steps = [(band, whole(0), following), (offset, whole(0), b.add(offset, row))]
    steps += [(phi, zero, value) for phi, value in zip([*sums.values(), *flags], [*total.values(), *passed], strict=True)]
    for phi, first, value in steps:
        phi.add_incoming(first, before)
        phi.add_incoming(value, loop)
    b.cbranch(b.icmp_signed("<", following, pairs), loop, done)
    b.position_at_end(done)
    return total, passed


def _multiply_add(b: Any, left: Any, right: Any) -> Any:
    """Products of int16, those of the two bands of a pair added."""
    products = b.mul(b.sext(left, _WIDE), b.sext(right, _WIDE))
    even, odd = (ir.Constant(_SUMS, [2 * lane + side for lane in range(LANES)]) for side in (0, 1))
    nothing = ir.Constant(_WIDE, ir.Undefined)
    return b.add(b.shuffle_vector(products, nothing, even), b.shuffle_vector(products, nothing, odd))


def _store(b: Any, value: Any, target: Any, at: Any, beyond: Any) -> None:
    b.store(value, _vector(b, target, b.add(at, beyond), _SUMS), align=4)


def _vector(b: Any, data: Any, offset: Any, kind: Any) -> Any:
    return b.bitcast(b.gep(data, [offset]), kind.as_pointer())


def _data(context: Any, builder: Any, signature: Any, arguments: Any, k: int) -> Any:
    return context.make_array(signature.args[k])(context, builder, arguments[k]).data
