"""Estimators: a published example, plain loops, and what they promise over many samples of a known population."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from terradrift.area_sample.estimators import StratifiedSample

# Olofsson et al. 2014, Remote Sensing of Environment 148, section 5: pixels of 30 m mapped as deforestation, forest gain,
# stable forest and stable non-forest; rows are map classes, columns reference classes.
MAPPED_PIXELS = np.array([200_000, 150_000, 3_200_000, 6_450_000])
COUNTS = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
PIXEL_HA = 0.09


def example() -> tuple[StratifiedSample, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The sample, and the map class and reference class of each of its pixels."""
    rows, columns = np.indices(COUNTS.shape)
    mapped, reference = np.repeat(rows.ravel(), COUNTS.ravel()), np.repeat(columns.ravel(), COUNTS.ravel())
    sample = StratifiedSample(MAPPED_PIXELS * PIXEL_HA, MAPPED_PIXELS.astype(float), mapped, np.full(len(mapped), PIXEL_HA))
    return sample, mapped, reference


def test_areas_of_the_published_example() -> None:
    sample, _, reference = example()
    deforested = sample.total((reference == 0).astype(float))
    assert deforested.value / (MAPPED_PIXELS.sum() * PIXEL_HA) == pytest.approx(0.0235, abs=5e-5)
    assert deforested.value == pytest.approx(21_158, abs=0.5)
    assert 1.96 * deforested.standard_error == pytest.approx(6_158, abs=1)
    # by hand: 18 000 ha times 66/75, 288 000 ha times 1/165, 580 500 ha times 2/325
    assert deforested.value == pytest.approx(18_000 * 66 / 75 + 288_000 / 165 + 580_500 * 2 / 325)


def test_accuracies_of_the_published_example() -> None:
    sample, mapped, reference = example()
    overall = sample.total((mapped == reference).astype(float))
    whole = sample.area.sum()
    assert overall.value / whole == pytest.approx(0.95, abs=5e-3)
    assert 1.96 * overall.standard_error / whole == pytest.approx(0.02, abs=5e-3)
    users, producers = [], []
    for number in range(4):
        both = ((mapped == number) & (reference == number)).astype(float)
        users.append(sample.ratio(both, (mapped == number).astype(float)))
        producers.append(sample.ratio(both, (reference == number).astype(float)))
    assert [found.value for found in users if found] == pytest.approx([0.88, 0.73, 0.93, 0.96], abs=5e-3)
    assert [1.96 * found.standard_error for found in users if found] == pytest.approx([0.07, 0.10, 0.04, 0.02], abs=5e-3)
    assert [found.value for found in producers if found] == pytest.approx([0.75, 0.85, 0.93, 0.96], abs=5e-3)


def test_variances_are_equations_5_to_7_and_10_of_the_paper() -> None:
    """Plain loops from the paper's own formulas, which have no finite population correction."""
    sample, mapped, reference = example()
    n, weight = COUNTS.sum(axis=1), MAPPED_PIXELS / MAPPED_PIXELS.sum()
    share = weight[:, None] * COUNTS / n[:, None]
    for k in range(4):
        u = COUNTS[k, k] / n[k]
        area = sum(weight[i] ** 2 * (COUNTS[i, k] / n[i]) * (1 - COUNTS[i, k] / n[i]) / (n[i] - 1) for i in range(4))
        found = sample.total((reference == k).astype(float))
        assert found.standard_error / sample.area.sum() == pytest.approx(np.sqrt(area), rel=1e-3)
        both, is_ref = ((mapped == k) & (reference == k)).astype(float), (reference == k).astype(float)
        user, producer = sample.ratio(both, (mapped == k).astype(float)), sample.ratio(both, is_ref)
        assert user is not None
        assert producer is not None
        assert user.standard_error == pytest.approx(np.sqrt(u * (1 - u) / (n[k] - 1)), rel=1e-3)
        p, column = share[k, k] / share[:, k].sum(), sum(MAPPED_PIXELS[i] * COUNTS[i, k] / n[i] for i in range(4))
        others = sum(
            MAPPED_PIXELS[i] ** 2 * (COUNTS[i, k] / n[i]) * (1 - COUNTS[i, k] / n[i]) / (n[i] - 1) for i in range(4) if i != k
        )
        own = MAPPED_PIXELS[k] ** 2 * (1 - p) ** 2 * u * (1 - u) / (n[k] - 1)
        assert producer.standard_error == pytest.approx(np.sqrt((own + p**2 * others) / column**2), rel=1e-3)


def test_the_interval_is_near_the_published_one_and_leans_upwards() -> None:
    """One and two omissions were met in the large strata: more of them are as likely as that they are all there is."""
    sample, _, reference = example()
    low, high = sample.interval((reference == 0).astype(float))
    assert 21_158 - 6_158 < low < 21_158 - 3_000
    assert 21_158 + 6_158 < high < 21_158 + 11_000


def test_one_stratum_has_the_interval_of_jeffreys() -> None:
    """Brown, Cai and DasGupta 2001, table 5: of 10 trials with 0, 1 and 5 hits."""
    intervals = []
    for hits in (0, 1, 5):
        y = (np.arange(10) < hits).astype(float)
        intervals.append(StratifiedSample(np.ones(1), np.array([1e12]), np.zeros(10, np.int64), np.ones(10)).interval(y))
    assert np.allclose(intervals, [(0, 0.217), (0.011, 0.381), (0.224, 0.776)], atol=1e-3)


def test_strata_that_are_not_the_classes_of_the_map() -> None:
    """The numerical example of Stehman 2014, International Journal of Remote Sensing 35, section 4."""
    stratum = np.repeat(np.arange(4), 10)
    mapped = np.array(list("AAAAAAABBBABBBBBBBBBBBCCCCCCBBDDDDDDDDDD"))
    reference = np.array(list("AAAAACBABCABBBBBAABBCCCCCDDBBADDDDDDDCCB"))
    pixels = np.array([40_000.0, 30_000, 20_000, 10_000])
    sample = StratifiedSample(pixels, pixels, stratum, np.ones(40))
    found = [sample.total((reference == "A").astype(float)), sample.total((reference == "C").astype(float))]
    found.append(sample.total((mapped == reference).astype(float)))
    assert [estimate.value / 1e5 for estimate in found] == pytest.approx([0.35, 0.20, 0.63])
    assert [estimate.standard_error / 1e5 for estimate in found] == pytest.approx([0.082, 0.064, 0.085], abs=5e-4)
    both = ((mapped == "B") & (reference == "B")).astype(float)
    user, producer = sample.ratio(both, (mapped == "B").astype(float)), sample.ratio(both, (reference == "B").astype(float))
    assert user is not None
    assert producer is not None
    assert (user.value, producer.value) == (pytest.approx(0.574, abs=5e-4), pytest.approx(0.794, abs=5e-4))
    assert (user.standard_error, producer.standard_error) == (pytest.approx(0.125, abs=1e-3), pytest.approx(0.117, abs=1e-3))


def test_a_stratum_sampled_whole_is_known() -> None:
    y = np.array([1.0, 0, 0, 1, 1])
    sample = StratifiedSample(np.array([50.0]), np.array([5.0]), np.zeros(5, np.int64), np.full(5, 10.0))
    assert (sample.total(y).value, sample.total(y).standard_error) == (pytest.approx(30), 0)
    assert sample.interval(y) == pytest.approx((30, 30))


def test_nothing_labelled_change_leaves_its_ratio_open() -> None:
    sample, mapped, _ = example()
    assert sample.ratio(np.zeros(len(mapped)), np.zeros(len(mapped))) is None


class Population:
    """Pixels of four strata with change in known places and areas that differ by a factor of two."""

    shares = (0.004, 0.06, 0.7, 0.95)
    pixels = (60_000, 5_000, 2_000, 3_000)
    sampled = (180, 60, 50, 60)

    def __init__(self) -> None:
        rng = np.random.default_rng(5)
        self.stratum = np.repeat(np.arange(4), self.pixels)
        self.mapped = self.stratum > 1
        self.area = rng.uniform(50, 100, len(self.stratum))
        self.changed = rng.random(len(self.stratum)) < np.array(self.shares)[self.stratum] * self.area / 75
        self.start = np.concatenate([[0], np.cumsum(self.pixels)])

    def draw(self, rng: np.random.Generator) -> tuple[StratifiedSample, npt.NDArray[np.int64]]:
        at = np.concatenate(
            [rng.choice(n, k, replace=False) + s for n, k, s in zip(self.pixels, self.sampled, self.start, strict=False)]
        )
        area = np.bincount(self.stratum, self.area)
        return StratifiedSample(area, np.array(self.pixels, float), self.stratum[at], self.area[at]), at


def test_many_samples_are_right_on_average_and_their_intervals_cover() -> None:
    population, rng, times = Population(), np.random.default_rng(11), 1500
    y, x = (population.changed & population.mapped).astype(float), population.changed.astype(float)
    truth = population.area @ x
    rate = population.area @ y / truth
    totals, errors, covered, rates, rate_errors = [], [], [], [], []
    for _ in range(times):
        sample, at = population.draw(rng)
        total, ratio, (low, high) = sample.total(x[at]), sample.ratio(y[at], x[at]), sample.interval(x[at])
        assert ratio is not None
        totals.append(total.value)
        errors.append(total.standard_error)
        rates.append(ratio.value)
        rate_errors.append(ratio.standard_error)
        covered.append(low <= truth <= high)
    spread = np.std(totals)
    assert abs(np.mean(totals) - truth) < 4 * spread / np.sqrt(times)
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(spread, rel=0.06)
    assert 0.93 <= np.mean(covered) <= 0.98
    assert np.mean(rates) == pytest.approx(rate, abs=0.02)  # a ratio is unbiased but for a term of 1 / n
    assert np.sqrt(np.mean(np.square(rate_errors))) == pytest.approx(np.std(rates), rel=0.2)


def test_the_interval_covers_where_omissions_are_hardly_ever_met() -> None:
    """Eight pixels in ten thousand of a large stratum: value +- 1.96 standard errors covers less than three times in four."""
    rng, n, share, times = np.random.default_rng(2), 150, 0.0008, 3000
    area, pixels = np.array([1e6, 1e3]), np.array([1e6, 1e3])
    stratum = np.repeat([0, 1], [n, 50])
    truth = 1e6 * share + 1e3 * 0.9
    honest, plain = [], []
    for _ in range(times):
        y = np.concatenate([rng.random(n) < share, rng.random(50) < 0.9]).astype(float)
        sample = StratifiedSample(area, pixels, stratum, np.ones(len(y)))
        low, high = sample.interval(y)
        total = sample.total(y)
        honest.append(low <= truth <= high)
        plain.append(abs(total.value - truth) <= 1.96 * total.standard_error)
    assert np.mean(plain) < 0.75
    assert np.mean(honest) > 0.93
