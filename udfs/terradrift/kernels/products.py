"""The inner loops of the Gram in vector instructions, written in the compiler's own language.

A loop in Python over one pair of years loads both anew for every product. Three years by three keep their nine sums in
registers and load six vectors for nine products, which the compiler does not find by itself. Nor does it ask for memory ahead
of its use, and hundreds of rows read side by side are more than a processor foresees. What is written here names no processor:
it becomes the instruction that multiplies and adds pairs of int16 where there is one.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

LANES = 8
"""Pixels of a vector: nine sums of 8 int32 and their factors fit the registers of any x86-64 with AVX2."""

BLOCK = 3
"""Years a side of the block whose sums stay in registers."""

CODES = 32
"""Codes squared at a time."""

AHEAD = 512
"""Codes from those being squared to those asked of the memory: two strips."""

_NEAR = 2  # which cache is asked: the second level, as the first has no room
_SUMS, _WIDE = (ir.VectorType(ir.IntType(32), n) for n in (LANES, 2 * LANES))
_ROW = ir.VectorType(ir.IntType(16), 2 * LANES)
_CODES, _SQUARES, _PAIRS = (ir.VectorType(ir.IntType(b), n) for b, n in ((8, CODES), (16, CODES), (16, 2 * CODES)))


def _emitted(function: Any) -> Any:
    """A function of array types that gives a signature and what writes its code; called from compiled loops alone."""
    return intrinsic(function)


@numba.njit(cache=True, error_model="numpy", nogil=True, boundscheck=False)
def signed_squares(codes: Any, first: int, n: int, squares: Any, lowest: Any) -> None:
    """Signed squares q|q| of codes[:, :, first : first + n], and the lowest code of every year of a pixel.

    codes (time, band, pixel) int8, C-contiguous; squares as `year_products` takes them, its years beyond `time` are left;
    lowest (time, pixel) int8.
    """
    time, band, pixels = codes.shape
    whole = n // CODES * CODES
    for t in range(time):
        low = lowest[t]
        low[:] = 127
        for b in range(0, band, 2):
            paired = b + 1 < band
            vectors = whole if paired else 0
            left = (t * band + b) * pixels + first
            at, low_at = (t * squares.shape[1] + b // 2) * squares.shape[2], t * lowest.shape[1]
            for p in range(0, vectors, CODES):
                _square_pair(codes, left + p, left + pixels + p, squares, at + 2 * p, lowest, low_at + p)
            row, other, target = codes[t, b], codes[t, b + 1 if paired else b], squares[t, b // 2]
            for p in range(vectors, n):
                q, r = np.int16(row[first + p]), np.int16(other[first + p])
                target[2 * p] = np.int16(q * np.int16(abs(q)))
                target[2 * p + 1] = np.int16(r * np.int16(abs(r))) if paired else np.int16(0)
                low[p] = min(low[p], min(row[first + p], other[first + p]))


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


@_emitted
def _square_pair(_, codes, left, right, squares, at, lowest, low_at):  # type: ignore[no-untyped-def]
    """CODES codes of two bands at elements `left` and `right`: squares side by side to `at`, the lower to `low_at`."""

    def generate(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        _, *places, _, at, _, low_at = arguments
        source, target, lowest = (_data(context, b, signature, arguments, k) for k in (0, 3, 5))
        codes = [b.load(_vector(b, source, place, _CODES), align=1) for place in places]
        wide = [b.sext(row, _SQUARES) for row in codes]
        side_by_side = ir.Constant(ir.VectorType(ir.IntType(32), 2 * CODES), [k // 2 + k % 2 * CODES for k in range(2 * CODES)])
        squares = b.shuffle_vector(*(b.mul(q, b.neg(_lower(b, q, b.neg(q)))) for q in wide), side_by_side)
        b.store(squares, _vector(b, target, at, _PAIRS), align=2)
        where = _vector(b, lowest, low_at, _CODES)
        low = _lower(b, b.load(where, align=1), _lower(b, *codes))
        b.store(low, where, align=1)
        for place in places:
            _ask_for(b, b.gep(source, [b.add(place, place.type(AHEAD))]))
        return context.get_dummy_value()

    return types.void(codes, types.intp, types.intp, squares, types.intp, lowest, types.intp), generate


@_emitted
def _multiply_blocks(_, squares, left, right, row, pairs, out, at, years, pixels):  # type: ignore[no-untyped-def]
    """Products of a block of years with a later one, which begin at elements `left` and `right` of squares, to `at` of out."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, left, right, row, pairs, _, at, years, pixels = arguments
        source, target = (_data(context, builder, signature, arguments, k) for k in (0, 5))
        sums, _ = _sum_bands(builder, source, left, right, row, pairs)
        for (i, j), value in sums.items():
            _store(
                builder, value, target, at, builder.mul(pixels, builder.add(builder.mul(years, pixels.type(i)), pixels.type(j)))
            )
        return context.get_dummy_value()

    return types.void(squares, *(types.intp,) * 4, out, *(types.intp,) * 3), generate


@_emitted
def _square_block(_, squares, left, row, pairs, out, at, passed, beside, years, pixels):  # type: ignore[no-untyped-def]
    """Products of a block of years with itself, and whether its squares passed int32, to element `beside` of passed."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, left, row, pairs, _, at, _, beside, years, pixels = arguments
        source, target, flags = (_data(context, builder, signature, arguments, k) for k in (0, 4, 6))
        sums, passed = _sum_bands(builder, source, left, None, row, pairs)
        for (i, j), value in sums.items():
            _store(
                builder, value, target, at, builder.mul(pixels, builder.add(builder.mul(years, pixels.type(i)), pixels.type(j)))
            )
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


def _lower(b: Any, one: Any, other: Any) -> Any:
    return b.select(b.icmp_signed("<", one, other), one, other)


def _ask_for(b: Any, address: Any) -> None:
    """Have memory brought into the cache; harmless where it is nobody's."""
    whole = ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [address.type, whole, whole, whole])
    read, data = whole(0), whole(1)
    b.call(b.module.declare_intrinsic("llvm.prefetch", (address.type,), kind), [address, read, whole(_NEAR), data])


def _store(b: Any, value: Any, target: Any, at: Any, beyond: Any) -> None:
    b.store(value, _vector(b, target, b.add(at, beyond), _SUMS), align=4)


def _vector(b: Any, data: Any, offset: Any, kind: Any) -> Any:
    return b.bitcast(b.gep(data, [offset]), kind.as_pointer())


def _data(context: Any, builder: Any, signature: Any, arguments: Any, k: int) -> Any:
    return context.make_array(signature.args[k])(context, builder, arguments[k]).data
