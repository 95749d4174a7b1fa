"""One variant against the base, from results kept image by image."""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.evaluation.bootstrap import Interval, paired_interval, resample_weights
from sci_plugins.evaluation.records import ImageRecords, Numbers
from sci_plugins.evaluation.seeds import SeedTest
from sci_plugins.utils.schema import Measured

_THIRDS = ('darkest third', 'middle third', 'brightest third')
# Rows of weights handled at once: bounds the memory on sets of thousands of images.
_CHUNK = 1024


@dataclass(frozen=True)
class GroupResult:
    """The deciding metric on a part of the images."""

    name: str  # of the part, with its range, as in ``'darkest third, 0.02 to 0.05'``
    images: int  # number of images
    base: Measured  # the base's and the variant's number on these images alone
    value: Measured
    interval: Interval  # of the difference, from resamples of these images

    def scaled(self, factor: float) -> 'GroupResult':
        """The same in another unit."""
        found = self.interval.scaled(factor)
        return GroupResult(self.name, self.images, self.base * factor, self.value * factor, found)


@dataclass(frozen=True)
class Effect:
    """How much one image adds to a difference."""

    image: str  # its name
    #: how much of the set's gain is lost without the image (the jackknife), in the unit of the
    #: metric; above 0 where the variant gained
    effect: float


@dataclass(frozen=True)
class VariantAnalysis:
    """One variant against the base, on the same images.

    Raises:
        DataError: if a metric with an interval has no values, or the deciding one has no interval.
    """

    base: str  # its name
    metric: str  # the deciding one
    images: int  # number of images of the set
    units: int  # number of units that were drawn: images, clips or blocks
    resamples: int  # of the bootstrap
    seed: int  # of the bootstrap
    intervals: dict[str, Interval]  # metric -> difference with its 95 % interval
    values: dict[str, tuple[Measured, Measured]]  # metric -> the base's and the variant's number
    #: kind -> parts of the set; ``'brightness'``: thirds by mean luma
    groups: dict[str, list[GroupResult]] = field(default_factory=dict)
    gained: list[Effect] = field(default_factory=list)  # images with the largest gain, sorted
    lost: list[Effect] = field(default_factory=list)  # images with the largest loss, sorted
    identical: bool = False  # whether both gave the same results, to the bit
    seeds: SeedTest | None = None  # the single trainings, if it is the mean of several

    def __post_init__(self) -> None:
        if self.metric not in self.intervals:
            raise DataError(f'metric must be one of the intervals, got {self.metric!r}')
        for name in self.intervals.keys() - self.values.keys():
            raise DataError(f'values must have every metric of the intervals, lacks {name!r}')

    @property
    def main(self) -> Interval:
        """The difference that decides."""
        return self.intervals[self.metric]

    def scaled(self, factor_of: Callable[[str], float]) -> 'VariantAnalysis':
        """The same with every metric times a factor of its own."""
        main = factor_of(self.metric)
        factors = {name: factor_of(name) for name in self.values}
        return replace(
            self,
            intervals={name: e.scaled(factors[name]) for name, e in self.intervals.items()},
            values={n: (b * factors[n], v * factors[n]) for n, (b, v) in self.values.items()},
            groups={key: [e.scaled(main) for e in each] for key, each in self.groups.items()},
            gained=[replace(each, effect=each.effect * main) for each in self.gained],
            lost=[replace(each, effect=each.effect * main) for each in self.lost],
            seeds=self.seeds and self.seeds.scaled(main),
        )

    def with_todays_names(self) -> 'VariantAnalysis':
        """Up to version 0.1 every set of one class had DARK FACE's official number, as ``AP``."""
        if not {'AP', 'VOC_AP50_area'} <= self.values.keys():
            return self
        names = {name: name for name in self.values} | {'AP': 'DARKFACE_AP'}
        values = {names[name]: pair for name, pair in self.values.items()}
        intervals = {names[name]: each for name, each in self.intervals.items()}
        return replace(self, metric=names[self.metric], values=values, intervals=intervals)


def analyse(
    base: ImageRecords,
    other: ImageRecords,
    *,
    base_name: str,
    brightness: Mapping[str, float] | None = None,
    groups: Sequence[Hashable] | None = None,
    metric: str | None = None,
    resamples: int = 1000,
    seed: int = 0,
    changed: int = 4,
    margin_of: Callable[[str], float] = lambda name: math.nan,
) -> VariantAnalysis:
    """Compare two models' results on the same images.

    Args:
        base, other, base_name: results on the same images in the same order; a name for the base.
        brightness: image -> mean luma of the tested input, for the thirds.
        groups: unit of each image (clip, block); ``None``: each image is a unit.
        metric: the deciding one; ``None``: the records' own.
        resamples, seed: of the bootstrap; the same seed draws the same images for every variant.
        changed: how many images to list that gained most, and that lost most.
        margin_of: metric -> largest difference that does not matter, in its unit.

    Raises:
        DataError: if the images differ, or an image has no unit or no luma.
        ConfigError: if the base or the variant lacks the metric.
    """
    count = len(base.ids)
    if base.ids != other.ids:
        wish = 'expected the same images in the same order for base and variant'
        raise DataError(f'{wish}, got {count} and {len(other.ids)} images')
    if groups is not None and len(groups) != count:
        raise DataError(f'expected {count} groups, one for each image, got {len(groups)}')
    if unknown := [name for name in base.ids if brightness and name not in brightness]:
        raise DataError(f'brightness must have every image, lacks {unknown[0]!r}')
    names = [name for name in base.names if name in other.names]
    metric = metric or base.main
    if metric not in names:
        raise ConfigError(f'there is no metric {metric!r}; there are {", ".join(names)}')
    units = range(count) if groups is None else groups
    pair = _Pair((base, other), units, resamples, seed, margin_of)
    values, intervals = pair.compare(np.arange(count), names)
    effects = _effects(base, other, metric, values[metric]) if changed else []
    by_effect = sorted(effects, key=lambda each: -each.effect)
    return VariantAnalysis(
        base=base_name,
        metric=metric,
        images=count,
        units=len(set(units)),
        resamples=resamples,
        seed=seed,
        intervals=intervals,
        values=values,
        groups=_by_brightness(pair, metric, brightness),
        gained=[each for each in by_effect if each.effect > 0][:changed],
        lost=[each for each in reversed(by_effect) if each.effect < 0][:changed],
        identical=base.same_as(other),
    )


@dataclass(frozen=True)
class _Pair:
    """Results of the base and of the variant on the same images, and how they are drawn."""

    records: tuple[ImageRecords, ImageRecords]
    units: Sequence[Hashable]  # of each image
    resamples: int
    seed: int
    margin_of: Callable[[str], float]

    def compare(
        self, part: np.ndarray, names: Sequence[str]
    ) -> tuple[dict[str, tuple[float, float]], dict[str, Interval]]:
        """Metric -> both numbers, and the interval of their difference, on some images alone."""
        units = [self.units[index] for index in part]
        draws = resample_weights(units, self.resamples, self.seed)
        whole = self._rows(np.ones((1, len(part))), part)
        own = [each.resampled(whole, names) for each in self.records]
        values = {name: (float(own[0][name][0]), float(own[1][name][0])) for name in names}
        before, after = (self._drawn(number, draws, part, names) for number in (0, 1))
        intervals = {}
        for name, (base, value) in values.items():
            higher, margin = self.records[0].higher(name), self.margin_of(name)
            pair = before[name], after[name], value - base
            intervals[name] = paired_interval(*pair, higher, len(set(units)), margin)
        return values, intervals

    def _drawn(
        self, number: int, draws: np.ndarray, part: np.ndarray, names: Sequence[str]
    ) -> Numbers:
        """The numbers on every draw, for one of both."""
        records, rng = self.records[number], np.random.default_rng(number)
        chunks = (draws[start : start + _CHUNK] for start in range(0, len(draws), _CHUNK))
        found = [records.drawn(self._rows(chunk, part), names, rng) for chunk in chunks]
        return {name: np.concatenate([each[name] for each in found]) for name in names}

    def _rows(self, weights: np.ndarray, part: np.ndarray) -> np.ndarray:
        """Weights of the part's images as weights of all, the others' 0."""
        rows = np.zeros((len(weights), len(self.units)), weights.dtype)
        rows[:, part] = weights
        return rows


def _effects(
    base: ImageRecords, other: ImageRecords, metric: str, values: tuple[float, float]
) -> list[Effect]:
    """The jackknife of the difference, in chunks of left-out images."""
    count, found = len(base.ids), []
    for start in range(0, count, _CHUNK):
        weights = 1 - np.eye(min(_CHUNK, count - start), count, start, np.int16)
        before, after = (each.resampled(weights, [metric]) for each in (base, other))
        found.append(after[metric] - before[metric])
    effects = values[1] - values[0] - np.concatenate(found)
    effects = effects if base.higher(metric) else -effects
    pairs = zip(base.ids, effects.tolist(), strict=True)
    return [Effect(name, effect) for name, effect in pairs if math.isfinite(effect)]


def _by_brightness(
    pair: _Pair, metric: str, brightness: Mapping[str, float] | None
) -> dict[str, list[GroupResult]]:
    """Thirds of the set by luma, each resampled separately."""
    ids = pair.records[0].ids
    if not brightness or len(ids) < len(_THIRDS):
        return {}
    luma = np.array([brightness[name] for name in ids])
    parts = np.array_split(np.argsort(luma, kind='stable'), len(_THIRDS))
    found = []
    for title, part in zip(_THIRDS, parts, strict=True):
        values, intervals = pair.compare(part, [metric])
        name = f'{title}, {luma[part[0]]:.3g} to {luma[part[-1]]:.3g}'
        found.append(GroupResult(name, len(part), *values[metric], intervals[metric]))
    return {'brightness': found}
