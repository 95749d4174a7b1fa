"""Each contender's records against the base's, on the same resamples.

The bootstrap draws images, clips (recordings), or blocks of neighbouring frames.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from sci_plugins.apis.compare.measuring import Kept
from sci_plugins.errors import ConfigError
from sci_plugins.evaluation.analysis import analyse
from sci_plugins.evaluation.bootstrap import adjust
from sci_plugins.evaluation.comparison import VariantResult, deciding_metric, margin_of
from sci_plugins.evaluation.seeds import SeedRecords, seed_test

_FORMS = "'images', 'clips:REGEX' or 'blocks:N'"


@dataclass(frozen=True)
class Resampling:
    """How the images of a set are grouped into units that are drawn together."""

    text: str = 'images'  # as the user wrote it
    kind: str = 'images'  # ``'images'``, ``'clips'`` or ``'blocks'``
    #: the pattern that finds the clip's name in an image's name, or the images in a block
    argument: str = ''

    @property
    def units(self) -> str:
        """The units in words, as in "20 blocks of 10"."""
        return f'blocks of {self.argument}' if self.kind == 'blocks' else self.kind

    def groups(self, ids: Sequence[str]) -> list[str] | None:
        """The unit of each image, given in the order of the set; ``None`` if each image is a unit.

        Raises:
            ConfigError: if a name does not match the pattern.
        """
        if self.kind == 'images':
            return None
        if self.kind == 'blocks':
            return [str(index // int(self.argument)) for index in range(len(ids))]
        clips = []
        for name in ids:
            found = re.search(self.argument, name)
            if found is None:
                raise ConfigError(
                    f'--resample {self.text} must match every image name, but does not match {name}'
                )
            clips.append('/'.join(part or '' for part in found.groups()) or found[0])
        return clips


def parse_resampling(text: str) -> Resampling:
    """Read ``images``, ``clips:REGEX`` or ``blocks:N``.

    Images with the same match belong to one clip; the match is that of the pattern's
    groups if it has any, else of the whole pattern.

    Raises:
        ConfigError: if ``text`` is none of these.
    """
    kind, _, argument = text.partition(':')
    if kind == 'clips' and argument:
        try:
            re.compile(argument)
        except re.error as error:
            raise ConfigError(f'--resample {text}: not a regular expression ({error})') from error
    elif text != 'images' and not (kind == 'blocks' and re.fullmatch(r'[1-9]\d{0,8}', argument)):
        raise ConfigError(f'--resample must be {_FORMS}, got {text!r}')
    return Resampling(text, kind, argument)


#: How many of the images that gained most, and of those that lost most, are listed.
MOST_CHANGED = 4


@dataclass(frozen=True)
class Judge:
    """How contenders are judged: against ``base``, with ``resamples`` draws of what ``resampling``
    says.

    ``metric`` decides, by a host's or the records' name; ``None``: the one that the field compares
    models by, or the records' own. Differences within ``margin``, in points of percent, do not
    matter; ``correction`` is that of the verdicts for their number, see :func:`adjust`.
    """

    base: str
    resampling: Resampling
    resamples: int = 1000
    seed: int = 0
    metric: str | None = None
    margin: float = 0.5
    correction: str = 'holm'

    def __post_init__(self) -> None:
        adjust([], self.correction)
        if not 0 < self.margin <= 100:
            raise ConfigError(f'margin must be above 0 and at most 100 points, got {self.margin}')

    def about(self) -> dict[str, Any]:
        """The settings as reports show them and as a resumed run compares them."""
        about: dict[str, Any] = dict(base=self.base, resampling=self.resampling.units)
        about |= dict(resample=self.resampling.text, resamples=self.resamples, seed=self.seed)
        about |= dict(margin=self.margin, correction=self.correction)
        return about if self.metric is None else about | dict(metric=self.metric)

    def check_metric(self, result: VariantResult, kept: Kept) -> str | None:
        """The records' metric that decides; ``None``: their own choice.

        Raises:
            ConfigError: if neither the host nor the records have ``metric``.
        """
        return deciding_metric(result.metrics, kept.records.names, self.metric)

    def with_weakness(self, result: VariantResult, kept: Kept) -> VariantResult:
        """The result with what limits its numbers, and the protocol of its records.

        Raises:
            ConfigError: if it is the base and lacks the metric.
        """
        weakness = ''
        if result.variant == self.base or self.base in result.members:
            metric = self.check_metric(result, kept)
            weakness = kept.records.weakness(metric or kept.records.main)
        protocol = result.protocol | kept.records.protocol()
        constant = kept.records.constant()
        return replace(result, weakness=weakness, constant=constant, protocol=protocol)

    def judge(
        self, result: VariantResult, kept: Kept, base_result: VariantResult, base: Kept
    ) -> VariantResult:
        """The result with its analysis against the base's, under the same condition.

        Raises:
            ConfigError: if the metric is unknown, or an image's name does not match the pattern of
                the clips.
        """
        found = analyse(
            base.records,
            kept.records,
            base_name=base_result.variant,
            brightness=base.brightness,
            groups=self.resampling.groups(base.records.ids),
            metric=self.check_metric(base_result, base),
            resamples=self.resamples,
            seed=self.seed,
            changed=MOST_CHANGED,
            margin_of=partial(margin_of, points=self.margin),
        )
        if isinstance(kept.records, SeedRecords):
            metric = found.metric
            names, others = result.members, base_result.members
            tested = seed_test(names, base.records, others, kept.records, metric)
            found = replace(found, seeds=tested)
        return replace(result, analysis=found)


def mean_result(name: str, results: Sequence[VariantResult]) -> VariantResult:
    """One result for several trainings: the means of the host's numbers."""
    shared = [key for key in results[0].metrics if all(key in each.metrics for each in results)]
    return VariantResult(
        name,
        results[0].condition,
        {key: float(np.mean([each.metrics[key] for each in results])) for key in shared},
        sum(each.seconds for each in results),
        results[0].images,
        members=[each.variant for each in results],
        protocol=results[0].protocol,
    )
