"""The sampling design: which strata there are and how many pixels each gives.

Strata: not mapped and far from all mapped change; not mapped but within NEAR_PIXELS of it, where most omissions are, so
that one of them does not count for the whole country (Olofsson et al. 2020, Remote Sensing of Environment 236); mapped, by
kind where there are many of each. Allocation after Olofsson et al. 2014 (Remote Sensing of Environment 148), section 5.1:
a fixed number to every stratum, the rest in proportion to the pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from terradrift.errors import InputError
from terradrift.kernels.series import KINDS

NEAR_PIXELS = 3
"""Rows and columns from mapped change within which an unmapped pixel is near it."""

FAR, NEAR, MAPPED = 0, 1, 2
"""Classes of pixels as counted; a mapped pixel of kind k has MAPPED + k."""

N_CLASSES = MAPPED + len(KINDS)

ENOUGH = 50
"""Samples that a stratum gets before the rest is shared out, where the size allows."""

SMALL_SHARE = 5
"""Where it does not: size / SMALL_SHARE, or an equal share where there are more strata."""

MIN_KIND_PIXELS = 500
"""A kind with fewer mapped pixels is no stratum of its own."""

MAX_SIZE = 100_000


@dataclass(frozen=True)
class Stratum:
    """One part of the map, sampled on its own."""

    name: str
    mapped: bool
    classes: tuple[int, ...]
    """Classes of pixels in it."""
    pixels: int
    sampled: int


def choose_strata(pixels: Sequence[int], size: int) -> list[Stratum]:
    """Strata and their sample sizes, from the number of pixels of each class. Raises InputError where `size` cannot be."""
    groups = [("not mapped, far from change", False, [FAR]), ("not mapped, near change", False, [NEAR])]
    groups = [group for group in groups if pixels[group[2][0]]] + _mapped_groups(pixels, size)
    counts = [sum(pixels[number] for number in classes) for _, _, classes in groups]
    total = sum(counts)
    if total == 0:
        raise InputError("output: found no scored pixel in the run, expected some to draw from")
    least = sum(min(2, count) for count in counts)
    if not least <= size <= min(total, MAX_SIZE):
        raise InputError(
            f"--size: found {size}, expected {least} to {min(total, MAX_SIZE)}: two in each of {len(counts)} strata at least, "
            f"and no more than the {total} scored pixels or {MAX_SIZE}"
        )
    sampled = allocate(counts, size)
    return [Stratum(name, mapped, tuple(of), n, k) for (name, mapped, of), n, k in zip(groups, counts, sampled, strict=True)]


def allocate(pixels: Sequence[int], size: int) -> list[int]:
    """Sample size of every stratum: ENOUGH or a share each, the rest in proportion to the pixels, never more than there are."""
    held = np.asarray(pixels, object)  # whole numbers without bound
    share = min(ENOUGH, size // max(SMALL_SHARE, len(held)))
    given = np.minimum(held, max(share, 2))  # two give a variance
    while (rest := size - int(given.sum())) > 0:  # again for what a stratum cannot hold
        weight = np.where(given < held, held, 0)
        quota = rest * weight
        more, total = quota // weight.sum(), weight.sum()
        largest = sorted(np.flatnonzero(weight), key=lambda h: (-(quota[h] % total), h))  # largest remainders, then first strata
        more[largest[: rest - int(more.sum())]] += 1
        given = np.minimum(given + more, held)
    return [int(number) for number in given]


def _mapped_groups(pixels: Sequence[int], size: int) -> list[tuple[str, bool, list[int]]]:
    present = [number for number in range(MAPPED, N_CLASSES) if pixels[number]]
    large = [number for number in present if pixels[number] >= MIN_KIND_PIXELS]
    small = [number for number in present if pixels[number] < MIN_KIND_PIXELS]
    n = 2 + len(large) + bool(small)
    if present and (len(large) + bool(small) < 2 or size < 2 * ENOUGH * n):  # half of the sample is left to be shared out
        return [("mapped", True, present)]
    groups = [(f"mapped, {KINDS[number - MAPPED]}", True, [number]) for number in large]
    return groups + ([("mapped, other kinds", True, small)] if small else [])
