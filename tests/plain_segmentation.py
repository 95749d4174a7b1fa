"""The oracle of segmentation metrics: accumulate sets of pixels, then divide."""

import math
from collections.abc import Sequence

import numpy as np


def plain_segmentation(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], classes: Sequence[str], ignore_index: int = 255
) -> dict[str, float]:
    """Percent, from (prediction, truth) of all images; NaN where nothing is."""
    both, either, there = (dict.fromkeys(classes, 0) for _ in range(3))
    right = counted = 0
    for found, truth in pairs:
        valid = truth != ignore_index
        right += int(np.count_nonzero((found == truth) & valid))
        counted += int(np.count_nonzero(valid))
        for label, name in enumerate(classes):
            predicted, true = (found == label) & valid, (truth == label) & valid
            both[name] += int(np.count_nonzero(predicted & true))
            either[name] += int(np.count_nonzero(predicted | true))
            there[name] += int(np.count_nonzero(true))
    each = {f'IoU/{name}': _percent(both[name], either[name]) for name in classes}
    recalls = [_percent(both[name], there[name]) for name in classes]
    return dict(
        mIoU=_mean(list(each.values())), aAcc=_percent(right, counted), mAcc=_mean(recalls), **each
    )


def random_labels(
    rng: np.random.Generator, classes: int, images: int, side: int = 12
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of prediction and truth, half of the pixels right, some truth ignored."""
    pairs = []
    for _ in range(images):
        truth = rng.integers(0, classes, (side, side + 3)).astype(np.uint8)
        found = rng.integers(0, classes, truth.shape).astype(np.uint8)
        keep = rng.random(truth.shape) < 0.5
        found[keep] = truth[keep]
        truth[rng.random(truth.shape) < 0.1] = 255
        pairs.append((found, truth))
    return pairs


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else math.nan


def _mean(values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
