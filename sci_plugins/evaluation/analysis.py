"""One variant against the base, from results kept image by image."""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.evaluation.bootstrap import (
    Interval,
    count_units,
    paired_interval,
    resample_weights,
)
from sci_plugins.evaluation.records import ImageRecords
from sci_plugins.evaluation.seeds import SeedTest
from sci_plugins.utils.schema import Measured

_THIRDS = ('darkest third', 'middle third', 'brightest third')
# Rows of weights handled at once: bounds the memory on sets of thousands of images.
_CHUNK = 512


@dataclass(frozen=True)
class GroupResult:
    """The deciding metric on a part of the images."""

    name: str  # of the part, with its range, as in ``'darkest third, 0.02 to 0.05'``
    images: int  # number of images
    #: the base's and the variant's number on these images alone
    base: Measured
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
    #: of the bootstrap
    resamples: int
    seed: int
    intervals: dict[str, Interval]  # metric -> difference with its 95 % interval
    values: dict[str, tuple[Measured, Measured]]  # metric -> the base's and the variant's number
    #: kind -> parts of the set; ``'brightness'``: thirds by mean luma
    groups: dict[str, list[GroupResult]] = field(default_factory=dict)
    #: images with the largest gain and loss, strongest first
    gained: list[Effect] = field(default_factory=list)
    lost: list[Effect] = field(default_factory=list)
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

        def longer(effects: list[Effect]) -> list[Effect]:
            return [replace(each, effect=each.effect * main) for each in effects]

        return replace(
            self,
            intervals={name: e.scaled(factor_of(name)) for name, e in self.intervals.items()},
            values={
                name: (base * factor_of(name), value * factor_of(name))
                for name, (base, value) in self.values.items()
            },
            groups={key: [e.scaled(main) for e in each] for key, each in self.groups.items()},
            gained=longer(self.gained),
            lost=longer(self.lost),
            seeds=self.seeds and self.seeds.scaled(main),
        )

    def with_todays_names(self) -> 'VariantAnalysis':
        """Up to version 0.1 every set of one class had DARK FACE's official number, as ``AP``."""
        if not {'AP', 'VOC_AP50_area'} <= self.values.keys():
            return self
        names = {'AP': 'DARKFACE_AP'}
        return replace(
            self,
            metric=names.get(self.metric, self.metric),
            values={names.get(name, name): pair for name, pair in self.values.items()},
            intervals={names.get(name, name): each for name, each in self.intervals.items()},
        )


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
        base, other: results on the same images in the same order.
        base_name: name of the base.
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
    _check(base, other, brightness, groups)
    names = [name for name in base.names if name in other.names]
    metric = metric or base.main
    if metric not in names:
        raise ConfigError(f'there is no metric {metric!r}; there are {", ".join(names)}')
    count = len(base.ids)
    weights = resample_weights(count if groups is None else groups, resamples, seed)
    values, units = _values(base, other, names), count_units(groups, count)
    effects = _effects(base, other, metric, values[metric]) if changed else []
    by_effect = sorted(effects, key=lambda each: -each.effect)
    return VariantAnalysis(
        base=base_name,
        metric=metric,
        images=count,
        units=units,
        resamples=resamples,
        seed=seed,
        intervals=_intervals(base, other, weights, values, units, margin_of),
        values=values,
        groups=_by_brightness(
            base, other, metric, brightness, groups, resamples, seed, margin_of(metric)
        ),
        gained=[each for each in by_effect if each.effect > 0][:changed],
        lost=[each for each in reversed(by_effect) if each.effect < 0][:changed],
        identical=base.same_as(other),
    )


def _check(
    base: ImageRecords,
    other: ImageRecords,
    brightness: Mapping[str, float] | None,
    groups: Sequence[Hashable] | None,
) -> None:
    count = len(base.ids)
    if base.ids != other.ids:
        raise DataError(
            'expected the same images in the same order for base and variant, got '
            f'{count} and {len(other.ids)} images'
        )
    if groups is not None and len(groups) != count:
        raise DataError(f'expected {count} groups, one for each image, got {len(groups)}')
    unknown = [name for name in base.ids if brightness and name not in brightness]
    if unknown:
        raise DataError(f'brightness must have every image, lacks {unknown[0]!r}')


def _values(
    base: ImageRecords, other: ImageRecords, names: Sequence[str]
) -> dict[str, tuple[float, float]]:
    before, after = base.metrics(names), other.metrics(names)
    return {name: (before[name], after[name]) for name in names}


def _intervals(
    base: ImageRecords,
    other: ImageRecords,
    weights: np.ndarray,
    values: Mapping[str, tuple[float, float]],
    units: int,
    margin_of: Callable[[str], float],
) -> dict[str, Interval]:
    before, after = _drawn(base, other, weights, list(values))
    return {
        name: paired_interval(
            before[name],
            after[name],
            value - base_value,
            higher_is_better=base.higher(name),
            units=units,
            margin=margin_of(name),
        )
        for name, (base_value, value) in values.items()
    }


def _drawn(
    base: ImageRecords, other: ImageRecords, weights: np.ndarray, names: Sequence[str]
) -> list[dict[str, np.ndarray]]:
    """Metric -> its numbers on every draw, for both."""
    found = []
    for number, records in enumerate((base, other)):
        rng = np.random.default_rng(number)
        parts = [
            records.drawn(weights[start : start + _CHUNK], names, rng)
            for start in range(0, len(weights), _CHUNK)
        ]
        found.append({name: np.concatenate([part[name] for part in parts]) for name in names})
    return found


def _effects(
    base: ImageRecords, other: ImageRecords, metric: str, values: tuple[float, float]
) -> list[Effect]:
    """The jackknife of the difference, in chunks of left-out images."""
    count, found = len(base.ids), []
    for start in range(0, count, _CHUNK):
        left_out = np.arange(start, min(start + _CHUNK, count))
        weights = np.ones((len(left_out), count), np.int16)
        weights[np.arange(len(left_out)), left_out] = 0
        before, after = (each.resampled(weights, [metric]) for each in (base, other))
        found.append(after[metric] - before[metric])
    effects = values[1] - values[0] - np.concatenate(found)
    if not base.higher(metric):
        effects = -effects
    return [
        Effect(name, float(effect))
        for name, effect in zip(base.ids, effects, strict=True)
        if np.isfinite(effect)
    ]


def _by_brightness(
    base: ImageRecords,
    other: ImageRecords,
    metric: str,
    brightness: Mapping[str, float] | None,
    groups: Sequence[Hashable] | None,
    resamples: int,
    seed: int,
    margin: float,
) -> dict[str, list[GroupResult]]:
    """Thirds of the set by luma, each resampled separately."""
    if not brightness or len(base.ids) < len(_THIRDS):
        return {}
    luma = np.array([brightness[name] for name in base.ids])
    parts = np.array_split(np.argsort(luma, kind='stable'), len(_THIRDS))
    units: Sequence[Hashable] = range(len(luma)) if groups is None else groups
    found = []
    for title, part in zip(_THIRDS, parts, strict=True):
        of_part = [units[index] for index in part]
        drawn = resample_weights(of_part, resamples, seed)
        weights = np.zeros((resamples, len(luma)), np.int32)
        weights[:, part] = drawn
        before, after = (each[metric] for each in _drawn(base, other, weights, [metric]))
        whole = np.zeros((1, len(luma)), np.int32)
        whole[0, part] = 1  # the part as it is
        number, value = (float(r.resampled(whole, [metric])[metric][0]) for r in (base, other))
        ends = luma[part[0]], luma[part[-1]]
        found.append(
            GroupResult(
                name=f'{title}, {ends[0]:.3g} to {ends[1]:.3g}',
                images=len(part),
                base=number,
                value=value,
                interval=paired_interval(
                    before,
                    after,
                    value - number,
                    higher_is_better=base.higher(metric),
                    units=count_units(of_part, len(part)),
                    margin=margin,
                ),
            )
        )
    return {'brightness': found}
