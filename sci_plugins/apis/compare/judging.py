"""Each contender's records against the base's, on the same resamples."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from sci_plugins.apis.compare.measuring import Kept
from sci_plugins.errors import ConfigError, check_at_least, check_seed
from sci_plugins.evaluation.analysis import analyse
from sci_plugins.evaluation.bootstrap import MAX_RESAMPLES, adjust
from sci_plugins.evaluation.comparison import VariantResult, deciding_metric, margin_of
from sci_plugins.evaluation.seeds import SeedRecords, seed_test

#: How many of the images that gained most, and of those that lost most, are listed.
MOST_CHANGED = 4


@dataclass
class Resampling:
    """How the images of a set are grouped into units that the bootstrap draws together.

    Args:
        text: ``'images'``; ``'clips:REGEX'``, where images with the same match (of the pattern's
            groups if it has any) belong to one recording; or ``'blocks:N'`` of neighbouring frames.

    Raises:
        ConfigError: if ``text`` is none of these; by :meth:`groups`, if a name does not match.
    """

    text: str = 'images'

    def __post_init__(self) -> None:
        self.kind, _, self.argument = self.text.partition(':')
        if self.kind == 'clips' and self.argument:
            try:
                re.compile(self.argument)
            except re.error as error:
                told = f'--resample {self.text}: not a regular expression ({error})'
                raise ConfigError(told) from error
        elif self.text != 'images' and not re.fullmatch(r'blocks:[1-9]\d{0,8}', self.text):
            forms = "'images', 'clips:REGEX' or 'blocks:N'"
            raise ConfigError(f'--resample must be {forms}, got {self.text!r}')

    @property
    def units(self) -> str:
        """The units in words, as in "20 blocks of 10"."""
        return f'blocks of {self.argument}' if self.kind == 'blocks' else self.kind

    def groups(self, ids: Sequence[str]) -> list[str] | None:
        """The unit of each image, in the order of the set; ``None`` if each image is a unit."""
        if self.kind == 'images':
            return None
        if self.kind == 'blocks':
            return [str(index // int(self.argument)) for index in range(len(ids))]
        clips, wish = [], f'--resample {self.text} must match every image name'
        for name in ids:
            if (found := re.search(self.argument, name)) is None:
                raise ConfigError(f'{wish}, but does not match {name}')
            clips.append('/'.join(part or '' for part in found.groups()) or found[0])
        return clips


@dataclass(frozen=True)
class Judge:
    """How contenders are judged: against ``base``, on the same resamples.

    Args:
        base: name of a contender.
        resample: what the bootstrap draws, see :class:`Resampling`.
        resamples, seed: how often it does, and its seed.
        metric: decides, by a host's or the records' name; ``None``: the field's or the records'.
        margin: points of percent; a smaller difference does not matter.
        correction: of the verdicts for their number: ``'holm'``, ``'bh'`` or ``'none'``.

    Raises:
        ConfigError: if one is out of range or unknown; by the methods, if results lack the metric
            or an image's name does not match the clips.
    """

    base: str
    resample: str = 'images'
    resamples: int = 1000
    seed: int = 0
    metric: str | None = None
    margin: float = 0.5
    correction: str = 'holm'

    def __post_init__(self) -> None:
        check_at_least(1, most=MAX_RESAMPLES, resamples=self.resamples)
        check_seed(self.seed)
        adjust([], self.correction)
        if not 0 < self.margin <= 100:
            raise ConfigError(f'margin must be above 0 and at most 100 points, got {self.margin}')
        Resampling(self.resample)

    @property
    def resampling(self) -> Resampling:
        """``resample``, read."""
        return Resampling(self.resample)

    def about(self) -> dict[str, Any]:
        """The settings as reports show them and as a resumed run compares them."""
        about = asdict(self) | dict(resampling=self.resampling.units)
        return {name: value for name, value in about.items() if value is not None}

    def with_weakness(self, result: VariantResult, kept: Kept) -> VariantResult:
        """The result with what limits its numbers, and the protocol of its records."""
        weakness = ''
        if result.variant == self.base or self.base in result.members:
            metric = deciding_metric(result.metrics, kept.records.names, self.metric)
            weakness = kept.records.weakness(metric or kept.records.main)
        protocol = result.protocol | kept.records.protocol()
        constant = kept.records.constant()
        return replace(result, weakness=weakness, constant=constant, protocol=protocol)

    def judge(
        self, result: VariantResult, kept: Kept, base_result: VariantResult, base: Kept
    ) -> VariantResult:
        """The result with its analysis against the base's, under the same condition."""
        found = analyse(
            base.records,
            kept.records,
            base_name=base_result.variant,
            brightness=base.brightness,
            groups=self.resampling.groups(base.records.ids),
            metric=deciding_metric(base_result.metrics, base.records.names, self.metric),
            resamples=self.resamples,
            seed=self.seed,
            changed=MOST_CHANGED,
            margin_of=partial(margin_of, points=self.margin),
        )
        if isinstance(kept.records, SeedRecords):
            names, others = result.members, base_result.members
            tested = seed_test(names, base.records, others, kept.records, found.metric)
            found = replace(found, seeds=tested)
        return replace(result, analysis=found)


def mean_result(name: str, results: Sequence[VariantResult]) -> VariantResult:
    """One result for several trainings: the means of the host's numbers."""
    first, seconds = results[0], sum(each.seconds for each in results)
    shared = [key for key in first.metrics if all(key in each.metrics for each in results)]
    means = {key: float(np.mean([each.metrics[key] for each in results])) for key in shared}
    of: Any = dict(members=[each.variant for each in results], protocol=first.protocol)
    return VariantResult(name, first.condition, means, seconds, first.images, **of)
