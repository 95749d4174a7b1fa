"""Samplers whose items carry their own seed, so that a resumed run draws the same crops.

MMEngine saves no random state. Here the random part of a sample (its crop, its mirroring) depends
only on the run's seed, the epoch and the index, not on workers, processes or the point at which a
run was interrupted.
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
        if self.seed is None:
            return None
        return torch.Generator().manual_seed(self.seed)


@DATA_SAMPLERS.register_module()
class SeededSampler(DefaultSampler):
    """MMEngine's ``DefaultSampler``; yields :class:`Draw` in place of bare indices.

    Arguments are the same. For epoch-based loops.

    Raises:
        ConfigError: if ``seed`` is not a seed; see :func:`sci_plugins.errors.check_seed`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        check_seed(self.seed, 'SeededSampler')

    def __iter__(self) -> Iterator[Draw]:
        for index in super().__iter__():
            yield _draw(self.seed, self.epoch, index)


@DATA_SAMPLERS.register_module()
class SeededInfiniteSampler(InfiniteSampler):
    """MMEngine's ``InfiniteSampler``; yields :class:`Draw` in place of bare indices.

    Arguments are the same. For iteration-based loops, which continue with the right sample when
    resumed.

    Raises:
        ConfigError: if ``seed`` is not a seed; see :func:`sci_plugins.errors.check_seed`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        check_seed(self.seed, 'SeededInfiniteSampler')

    def _infinite_indices(self) -> Iterator[Draw]:
        for position, index in enumerate(super()._infinite_indices()):
            yield _draw(self.seed, position // self.size, index)


def _draw(seed: int, epoch: int, index: int) -> Draw:
    # Neighbouring seeds, epochs and indices must not give correlated numbers.
    mixed = np.random.SeedSequence((seed, epoch, index)).generate_state(1, np.uint64)[0]
    return Draw(index, int(mixed >> np.uint64(1)))
