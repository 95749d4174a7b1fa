"""Samplers whose items carry their own seed, so that a resumed run draws the same crops.

MMEngine saves no random state. Here a sample depends only on the run's seed, the epoch and the
index, not on workers, processes or the point of an interruption.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler

from sci_plugins.errors import check_seed
from sci_plugins.registry import DATA_SAMPLERS


@dataclass(frozen=True)
class Draw:
    """One draw of a sample: its position in the data set, and its seed."""

    index: int
    seed: int | None = None

    def generator(self) -> torch.Generator | None:
        """A new CPU generator; without a seed ``None``, for PyTorch's own."""
        return None if self.seed is None else torch.Generator().manual_seed(self.seed)


class _Seeded:
    seed: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        check_seed(self.seed, type(self).__name__)


@DATA_SAMPLERS.register_module()
class SeededSampler(_Seeded, DefaultSampler):
    """MMEngine's ``DefaultSampler`` for epoch-based loops, which yields :class:`Draw` here.

    A wrong ``seed`` is a ConfigError, see :func:`sci_plugins.errors.check_seed`.
    """

    def __iter__(self) -> Iterator[Draw]:
        for index in super().__iter__():
            yield _draw(self.seed, self.epoch, index)


@DATA_SAMPLERS.register_module()
class SeededInfiniteSampler(_Seeded, InfiniteSampler):
    """MMEngine's ``InfiniteSampler`` for iteration-based loops, else as :class:`SeededSampler`.

    Resumed, it continues with the right :class:`Draw`.
    """

    def _infinite_indices(self) -> Iterator[Draw]:
        for position, index in enumerate(super()._infinite_indices()):
            yield _draw(self.seed, position // self.size, index)


def _draw(seed: int, epoch: int, index: int) -> Draw:
    # Neighbouring seeds, epochs and indices must not give correlated numbers.
    mixed = np.random.SeedSequence((seed, epoch, index)).generate_state(1, np.uint64)[0]
    return Draw(index, int(mixed >> np.uint64(1)))
