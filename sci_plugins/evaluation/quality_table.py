"""Several enhancers on one set of images: a table, and every number behind it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sci_plugins.evaluation.comparison import finite_or_none
from sci_plugins.visualization.report.cells import format_value


@dataclass
class QualityTable:
    """Quality of each variant, image by image.

    Args:
        about: what it takes to repeat it: folders, versions, hashes of weights.
        images: names of the images, in order.
        scores: variant -> metric key -> one number an image. A row of references has
            fewer metrics.
    """

    about: dict[str, Any]
    images: list[str]
    scores: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    @property
    def metrics(self) -> list[str]:
        return list(dict.fromkeys(key for row in self.scores.values() for key in row))

    def mean(self, variant: str, metric: str) -> float:
        """Mean over the images; NaN where the variant does not have the metric."""
        values = self.scores[variant].get(metric, [])
        return sum(values) / len(values) if values else float('nan')

    def to_text(self) -> str:
        """Means, variants down, metrics across; columns are aligned."""
        rows = [['variant', *self.metrics]]
        for variant in self.scores:
            means = [self.mean(variant, metric) for metric in self.metrics]
            rows.append([variant, *map(format_value, means)])
        return '\n'.join([*_align(rows), f'means over {len(self.images)} images'])

    def to_json(self) -> str:
        variants = [
            dict(variant=variant, mean=self._means(variant), images=_finite(row))
            for variant, row in self.scores.items()
        ]
        content = dict(about=self.about, images=self.images, variants=variants)
        return json.dumps(content, indent=2) + '\n'

    def _means(self, variant: str) -> dict[str, float | None]:
        row = self.scores[variant]
        return finite_or_none({metric: self.mean(variant, metric) for metric in row})


def _finite(row: Mapping[str, Sequence[float]]) -> dict[str, list[float | None]]:
    return {
        metric: list(finite_or_none({str(i): v for i, v in enumerate(values)}).values())
        for metric, values in row.items()
    }


def _align(rows: list[list[str]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        '  '.join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
