"""How much land truly changed: a stratified random sample to label by eye, and the unbiased area that its labels give."""

from __future__ import annotations

from terradrift.area_sample.estimate import AreaEstimate, estimate_area
from terradrift.area_sample.labels import is_labelled_sample
from terradrift.area_sample.report import print_estimate, print_sample
from terradrift.area_sample.sample import Sample, draw_sample

__all__ = ["AreaEstimate", "Sample", "draw_sample", "estimate_area", "is_labelled_sample", "print_estimate", "print_sample"]
