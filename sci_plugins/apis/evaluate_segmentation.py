"""Evaluating a folder of predicted label maps, whichever tool wrote them."""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from sci_plugins.apis.label_pairs import LabelPair, LabelPairs, pair_label_maps
from sci_plugins.datasets.night_layouts import CLASS_NAMES
from sci_plugins.errors import ConfigError, DataError
from sci_plugins.evaluation.segmentation_records import (
    SegmentationRecords,
    choose_classes,
    class_table,
)
from sci_plugins.functional.confusion import confusion_matrix, unknown_ids
from sci_plugins.utils.images import read_label_map

#: What a missing prediction is: a mistake, an image in which every pixel is wrong, or
#: an image that is not evaluated.
MISSING = ('error', 'wrong', 'skip')
#: How many of one kind are named in the text.
_NAMED = 5


@dataclass
class SegmentationResult:
    """The numbers of a folder, and everything that was odd about its files.

    Args:
        records: every image's confusion matrix, with a last column for pixels that
            have no prediction.
        missing: files that should be there.
        skipped: they are not evaluated; else they count as wrong in every pixel.
        extra: predictions that belong to no true label map.
        rule: how names were paired, if not by the same names.
        void: percent of the counted pixels of the images that have a prediction in
            which that is the ignored id.
    """

    records: SegmentationRecords
    missing: list[str] = field(default_factory=list)
    skipped: bool = False
    extra: list[str] = field(default_factory=list)
    rule: str = ''
    void: float = 0.0

    @property
    def numbers(self) -> dict[str, float]:
        """``mIoU`` and ``IoU/CLASS`` in percent, NaN where nothing is."""
        names = [name for name in self.records.names if name not in ('aAcc', 'mAcc')]
        return self.records.metrics(names)

    def to_json(self) -> str:
        numbers = {k: None if math.isnan(v) else v for k, v in self.numbers.items()}
        return json.dumps(numbers, indent=2) + '\n'

    def to_text(self) -> str:
        paired = [f'paired: {self.rule}'] if self.rule else []
        return '\n'.join([*paired, class_table(self.records)])

    def warnings(self) -> list[str]:
        """What the user must know before quoting the numbers."""
        lines = []
        if self.missing:
            total = len(self.records.ids) + self.skipped * len(self.missing)
            kept = 'are left out' if self.skipped else 'count as wrong in every pixel'
            lines.append(
                f'{len(self.missing)} of {total} images have no prediction and {kept}: '
                f'{_some(self.missing)}'
            )
        if self.extra:
            lines.append(
                f'not used, for they have no truth, are {len(self.extra)} of the '
                f'predictions: {_some(self.extra)}'
            )
        if self.void:
            lines.append(
                f'{self.void:.3g} % of the pixels are predicted to be the ignored id '
                'and count as wrong'
            )
        if not self.records.matrices.any():
            lines.append('no pixel counts: the truth is ignored everywhere')
        return lines


def evaluate_segmentation(
    pred_dir: str | os.PathLike[str],
    gt_dir: str | os.PathLike[str],
    num_classes: int,
    *,
    classes: str | Sequence[str] | None = None,
    subset: int | Sequence[str] | None = None,
    ignore_left_out: bool = False,
    ignore_index: int = 255,
    pred_suffix: str | None = None,
    gt_suffix: str | None = None,
    missing: str = 'error',
    strict: bool = False,
    progress: bool = False,
) -> SegmentationResult:
    """Mean IoU of label maps in PNG files, accumulated over the set as mmseg does.

    Args:
        pred_dir, gt_dir: folders with maps of the same names, in subfolders too; see
            :func:`sci_plugins.apis.label_pairs.pair_label_maps` for others.
        num_classes: ids are 0 to ``num_classes`` - 1.
        classes: names of the classes in the order of the ids, or one of
            :data:`sci_plugins.datasets.night_layouts.CLASS_NAMES`; ``None``: the ids.
        subset, ignore_left_out: classes that the mean is over, see
            :class:`SegmentationRecords`.
        ignore_index: pixels of this true id do not count; predicted elsewhere it is
            wrong.
        pred_suffix, gt_suffix: how the names of the files end.
        missing: ``'error'``: every truth must have a prediction; ``'wrong'``: an image
            without one is wrong in every pixel; ``'skip'``: it is not evaluated.
        strict: refuse what is otherwise warned of: missing and extra predictions,
            pixels without prediction.
        progress: show a progress bar on stderr.

    Raises:
        ConfigError: if the classes, or options, do not fit.
        DataError: naming the file, if one is missing, cannot be read, is a picture in
            colours, has another size than its truth, or holds other ids.
    """
    names = name_classes(num_classes, classes)
    kept = choose_classes(subset, names)
    if missing not in MISSING:
        raise ConfigError(f'missing must be one of {", ".join(MISSING)}, got {missing!r}')
    found = pair_label_maps(pred_dir, gt_dir, pred_suffix, gt_suffix)
    if found.missing and (strict or missing == 'error'):
        raise _missing_error(found, strict)
    pairs = [pair for pair in found.pairs if pair.there or missing != 'skip']
    bar = tqdm(pairs, unit='image', disable=not progress)
    matrices = np.stack([_count(pair, num_classes, ignore_index) for pair in bar])
    ids = [pair.name for pair in pairs]
    result = SegmentationResult(
        SegmentationRecords(ids, matrices, names, kept, ignore_left_out),
        [str(pair.prediction) for pair in found.missing],
        missing == 'skip',
        [str(path) for path in found.extra],
        found.rule,
        _void(matrices[[pair.there for pair in pairs]]),
    )
    if strict and result.warnings():
        raise DataError(f'{pred_dir}: {result.warnings()[0]} (--strict)')
    return result


def name_classes(num_classes: int, classes: str | Sequence[str] | None) -> list[str]:
    """Names of the classes, in the order of the ids.

    Raises:
        ConfigError: if there are not ``num_classes`` different ones.
    """
    if num_classes < 1:
        raise ConfigError(f'num_classes must be at least 1, got {num_classes}')
    if classes is None:
        return [str(index) for index in range(num_classes)]
    given = [classes] if isinstance(classes, str) else list(classes)
    names = list(CLASS_NAMES.get(given[0], given)) if len(given) == 1 else given
    if len(names) != num_classes or len(set(names)) != num_classes:
        raise ConfigError(
            f'classes must be {num_classes} different names (num_classes), or one of '
            f'{", ".join(CLASS_NAMES)}; got {len(names)}: {_some(names)}'
        )
    return names


def _missing_error(found: LabelPairs, strict: bool) -> DataError:
    advice = '--strict' if strict else 'see --missing'
    return DataError(
        f'{found.missing[0].prediction}: there is no such prediction '
        f'({len(found.missing)} of {len(found.pairs)} missing; {advice})'
    )


def _count(pair: LabelPair, classes: int, ignored: int) -> np.ndarray:
    true = _read(pair.truth, classes, ignored)
    if not pair.there:
        counted = confusion_matrix(true, true, classes, ignored, void=True)
        matrix = np.zeros_like(counted)
        matrix[:, -1] = counted.sum(axis=1)
        return matrix
    found = _read(pair.prediction, classes, ignored)
    if found.shape != true.shape:
        raise DataError(
            f'{pair.prediction} must have the size of {pair.truth}, {_size(true)}, got '
            f'{_size(found)}'
        )
    return confusion_matrix(found, true, classes, ignored, void=True)


def _void(matrices: np.ndarray) -> float:
    total = matrices.sum()
    return float(100 * matrices[:, :, -1].sum() / total) if total else 0.0


def _read(path: Path, classes: int, ignored: int) -> np.ndarray:
    labels = read_label_map(path)
    unknown = unknown_ids(labels, classes, ignored)
    if unknown:
        raise DataError(
            f'{path} must hold ids 0 to {classes - 1} or {ignored} (ignored), got '
            f'{_some([str(value) for value in unknown])}'
        )
    return labels


def _size(labels: np.ndarray) -> str:
    return f'{labels.shape[1]} x {labels.shape[0]}'


def _some(names: Sequence[str]) -> str:
    shown = ', '.join(names[:_NAMED])
    return f'{shown}, ...' if len(names) > _NAMED else shown
