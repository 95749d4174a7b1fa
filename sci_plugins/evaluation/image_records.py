"""What results kept image by image have in common, whatever the task."""

import os
from collections.abc import Sequence
from typing import Protocol

import numpy as np


class ImageRecords(Protocol):
    """One model's results on one image set, for the set's numbers and resamples'.

    All metrics are better the higher they are.
    """

    #: Names of the images in the order of the set.
    ids: list[str]

    @property
    def main(self) -> str:
        """Name of the metric that decides where nobody says another."""
        ...

    @property
    def names(self) -> list[str]:
        """Names of all metrics."""
        ...

    def metrics(self, names: Sequence[str] | None = None) -> dict[str, float]:
        """The numbers of the whole set; NaN where there is nothing to measure."""
        ...

    def resampled(
        self, weights: np.ndarray | None = None, names: Sequence[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Name -> ``(R,)`` for weights ``(R, N)``; only what is named is computed."""
        ...

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one ``.npz`` file."""
        ...
