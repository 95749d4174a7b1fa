"""Each contender's records against the base's, on the same resamples.

The bootstrap draws images, recordings, or blocks of neighbouring frames.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sci_plugins.apis.compare.measuring import Kept
from sci_plugins.errors import ConfigError
from sci_plugins.evaluation.analysis import analyse
from sci_plugins.evaluation.comparison import VariantResult, deciding_metric

_FORMS = "'images', 'clips:REGEX' or 'blocks:N'"


@dataclass(frozen=True)
class Resampling:
    """How the images of a set are put into units that are drawn together.

    Args:
        text: as it was asked for.
        kind: ``'images'``, ``'clips'`` or ``'blocks'``.
        pattern: of the name of a clip within an image's name.
        size: images of a block.
    """

    text: str = 'images'
    kind: str = 'images'
    pattern: str = ''
    size: int = 1

    @property
    def units(self) -> str:
        """The units in words, as in "20 blocks of 10"."""
        return f'blocks of {self.size}' if self.kind == 'blocks' else self.kind

    def groups(self, ids: Sequence[str]) -> list[str] | None:
        """The unit of each image; ``None`` where each image is one.

        Args:
            ids: names of the images in the order of the set.

        Raises:
            ConfigError: if the pattern is not found in a name.
        """
        if self.kind == 'images':
            return None
        if self.kind == 'blocks':
            return [str(index // self.size) for index in range(len(ids))]
        return [self._clip(name) for name in ids]

    def _clip(self, name: str) -> str:
        found = re.search(self.pattern, name)
        if found is None:
            raise ConfigError(
                f'--resample clips:{self.pattern} must match the name of every image, '
                f'and does not match {name}'
            )
        return '/'.join(part or '' for part in found.groups()) or found[0]


def parse_resampling(text: str) -> Resampling:
    """Read ``images``, ``clips:REGEX`` or ``blocks:N``.

    Images with the same match are one clip: of the pattern's groups if it has some,
    else of the whole pattern.

    Raises:
        ConfigError: if ``text`` is none of these.
    """
    kind, _, argument = text.partition(':')
    if text == 'images':
        return Resampling()
    if kind == 'clips' and argument:
        try:
            re.compile(argument)
        except re.error as error:
            raise ConfigError(f'--resample {text}: no pattern ({error})') from error
        return Resampling(text, kind, pattern=argument)
    if kind == 'blocks' and re.fullmatch(r'[1-9]\d{0,8}', argument):
        return Resampling(text, kind, size=int(argument))
    raise ConfigError(f'--resample must be {_FORMS}, got {text!r}')


#: How many images that gained most, and that lost most, are named.
MOST_CHANGED = 4


@dataclass(frozen=True)
class Judge:
    """How contenders are judged.

    Args:
        base: name of what they are compared with.
        resampling: what the bootstrap draws.
        resamples: how often.
        seed: of the draws.
        metric: that decides, by a host's or the records' name; ``None``: the one that
            the field compares models by, or the records' own.
    """

    base: str
    resampling: Resampling
    resamples: int = 1000
    seed: int = 0
    metric: str | None = None

    def about(self) -> dict[str, Any]:
        """The settings as they are told, and compared when a run is resumed."""
        settings = dict(
            base=self.base,
            resampling=self.resampling.units,
            resample=self.resampling.text,
            resamples=self.resamples,
            seed=self.seed,
        )
        return settings if self.metric is None else settings | dict(metric=self.metric)

    def check_metric(self, result: VariantResult, kept: Kept) -> str | None:
        """The records' metric that decides; ``None``: their own choice.

        Raises:
            ConfigError: if neither the host nor the records have the wanted one.
        """
        return deciding_metric(result.metrics, kept.records.names, self.metric)

    def judge(
        self, result: VariantResult, kept: Kept, base_result: VariantResult, base: Kept
    ) -> VariantResult:
        """The result with its analysis.

        Args:
            result, kept: of the contender.
            base_result, base: of the base, under the same condition.

        Raises:
            ConfigError: if the metric is not known, or the pattern of the clips does
                not match the name of an image.
        """
        found = analyse(
            base.records,
            kept.records,
            base_name=self.base,
            brightness=base.brightness,
            groups=self.resampling.groups(base.records.ids),
            metric=self.check_metric(base_result, base),
            resamples=self.resamples,
            seed=self.seed,
            changed=MOST_CHANGED,
        )
        return replace(result, analysis=found)
