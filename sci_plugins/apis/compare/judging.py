"""Each contender's records against the base's."""

from dataclasses import dataclass, replace
from typing import Any

from sci_plugins.apis.compare.records import Kept
from sci_plugins.apis.compare.resampling import Resampling
from sci_plugins.evaluation.analysis import analyse
from sci_plugins.evaluation.comparison import VariantResult, deciding_metric
from sci_plugins.visualization.report import Curve

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


def curve_of(kept: Kept) -> Curve | None:
    """Precision against recall, where the records are of detections."""
    if not hasattr(kept.records, 'curve'):
        return None
    curve = kept.records.curve()
    return Curve(curve.recall, curve.precision)
