"""In place of a metric that takes longer than the network."""

from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import BaseMetric

from sci_plugins.registry import METRICS


@METRICS.register_module()
class NoMetric(BaseMetric):
    """Counts the images, and nothing else.

    ``compare.py`` and the board compute AP and IoU from their records anyway. What is lost is the
    check of those numbers against the host's own evaluator, which takes half of the time of a light
    detector. Name the metric that decides: ``--metric COCO_AP50``.
    """

    default_prefix = 'set'

    def process(self, data_batch: Any, data_samples: Sequence[Any]) -> None:
        self.results += [1] * len(data_samples)

    def compute_metrics(self, results: list[int]) -> dict[str, float]:
        return dict(images=float(len(results)))
