"""Evaluating a folder of predicted label maps, whichever tool wrote them.

Predictions and ground truth are matched by the names of the files.
"""

import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path, PurePosixPath

import numpy as np
from tqdm import tqdm

from sci_plugins.datasets.night_layouts import CLASS_NAMES
from sci_plugins.errors import ConfigError, DataError, check_at_least
from sci_plugins.evaluation.segmentation_records import (
    SegmentationRecords,
    choose_classes,
    class_table,
)
from sci_plugins.functional.confusion import confusion_matrix, unknown_ids
from sci_plugins.utils.images import read_label_map

#: Endings of true label maps, and of images whose names predictions take over, in the usual layouts
#: of street scenes. Tried only where names differ.
GT_SUFFIXES = (
    '.png',
    '_gt_labelTrainIds.png',
    '_gtFine_labelTrainIds.png',
    '_gtCoarse_labelTrainIds.png',
    '_labelTrainIds.png',
    '_trainIds.png',
)
PRED_SUFFIXES = ('.png', '_rgb_anon.png', '_leftImg8bit.png')
_PLAIN = '.png'
# Path below a folder -> file.
_Files = dict[PurePosixPath, Path]


@dataclass(frozen=True)
class LabelPair:
    """Files that belong together.

    Args:
        name: the truth's path below its folder, without ending.
        prediction: where the prediction is, or should be.
        truth: where the truth is.
        there: whether the prediction is.
    """

    name: str
    prediction: Path
    truth: Path
    there: bool = True


@dataclass(frozen=True)
class LabelPairs:
    """All true label maps of a folder with their predictions.

    Args:
        pairs: in the order of the truth's names; there is at least one.
        extra: predictions without truth.
        rule: how files were found to belong together, if not by the same names.
    """

    pairs: list[LabelPair]
    extra: list[Path] = field(default_factory=list)
    rule: str = ''

    @property
    def missing(self) -> list[LabelPair]:
        return [pair for pair in self.pairs if not pair.there]


@dataclass(frozen=True)
class _Rule:
    pred_suffix: str
    gt_suffix: str
    flat: bool = False

    def __str__(self) -> str:
        where = ', by file name alone, whatever the folder' if self.flat else ''
        return f'NAME{self.pred_suffix} with truth NAME{self.gt_suffix}{where}'


def pair_label_maps(
    pred_dir: str | os.PathLike[str],
    gt_dir: str | os.PathLike[str],
    pred_suffix: str | None = None,
    gt_suffix: str | None = None,
) -> LabelPairs:
    """Pair predictions and truth by their paths below the two folders.

    Where nothing has the same path, names without their folders are tried and, with no suffix
    given, the endings of the usual layouts; what fits must be unambiguous.

    Args:
        pred_dir, gt_dir: folders, searched with all that is below them.
        pred_suffix, gt_suffix: endings that are not part of the name, such as
            ``'_gt_labelTrainIds.png'``; files that end otherwise are not looked at.

    Raises:
        ConfigError: if a suffix does not end in ``.png``, both folders are one, or several layouts
            fit.
        DataError: if a folder is missing or empty, or nothing fits together.
    """
    folders = Path(pred_dir), Path(gt_dir)
    rule = _Rule(_check_suffix(pred_suffix), _check_suffix(gt_suffix))
    given = pred_suffix is not None or gt_suffix is not None
    _check_folders(*folders)
    found, true = (_png_files(folder) for folder in folders)
    for folder, files, suffix in (
        (folders[0], found, rule.pred_suffix),
        (folders[1], true, rule.gt_suffix),
    ):
        if not _names(files, suffix):
            raise DataError(f'{folder}: there is no label map (*{suffix})')
    if not _common(rule, found, true):
        rule = _guess(rule, given, found, true, folders)
        return _pairs(rule, found, true, folders[0], str(rule))
    return _pairs(rule if given else _one_kind(rule, found, true), found, true, folders[0])


def _check_suffix(suffix: str | None) -> str:
    if suffix is None:
        return _PLAIN
    if not suffix.lower().endswith(_PLAIN):
        raise ConfigError(f'a suffix must end in .png, got {suffix!r}')
    return suffix


def _check_folders(*folders: Path) -> None:
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f'{folder}: there is no such folder')
    if folders[0].resolve() == folders[1].resolve():
        raise ConfigError(f'{folders[0]} is given as prediction and as truth')


def _png_files(folder: Path) -> _Files:
    """All but hidden ones, in the order of their paths; links are followed once."""
    seen: set[Path] = set()
    places: list[PurePosixPath] = []
    for current, below, names in os.walk(folder, followlinks=True):
        here = Path(current)
        if here.resolve() in seen:
            below.clear()
            continue
        seen.add(here.resolve())
        below[:] = [name for name in below if not name.startswith('.')]
        places += [
            PurePosixPath((here / name).relative_to(folder).as_posix())
            for name in names
            if name.lower().endswith(_PLAIN) and not name.startswith('.')
        ]
    return {place: folder / place for place in sorted(places)}


def _names(
    files: Iterable[PurePosixPath], suffix: str, flat: bool = False
) -> dict[str, PurePosixPath]:
    """Name -> path; empty where files in several folders have one name."""
    fitting = [place for place in files if _fits(place.name, suffix)]
    names = [(place.name if flat else str(place))[: -len(suffix)] for place in fitting]
    if len(set(names)) < len(names):
        return {}
    return dict(zip(names, fitting, strict=True))


def _fits(name: str, suffix: str) -> bool:
    plain = suffix == _PLAIN and name.lower().endswith(suffix)
    return len(name) > len(suffix) and (plain or name.endswith(suffix))


def _common(
    rule: _Rule, found: Iterable[PurePosixPath], true: Iterable[PurePosixPath]
) -> frozenset[tuple[PurePosixPath, PurePosixPath]]:
    predictions = _names(found, rule.pred_suffix, rule.flat)
    truths = _names(true, rule.gt_suffix, rule.flat)
    return frozenset((predictions[n], truths[n]) for n in truths if n in predictions)


def _one_kind(rule: _Rule, found: _Files, true: _Files) -> _Rule:
    """The same names, without other kinds of label that lie beside the predicted one.

    Cityscapes and ACDC come with ids, colours and trainIds in one folder.
    """
    pairs = _common(rule, found, true)
    if len(pairs) < len(true):
        for suffix in GT_SUFFIXES[1:]:
            of_kind = _Rule(suffix, suffix)
            if _common(of_kind, found, true) == pairs:
                return of_kind
    return rule


def _guess(
    rule: _Rule, given: bool, found: _Files, true: _Files, folders: tuple[Path, Path]
) -> _Rule:
    """The one usual layout that fits."""
    suffixes = [(rule.pred_suffix, rule.gt_suffix)]
    if not given:
        suffixes = list(product(PRED_SUFFIXES, GT_SUFFIXES))
    fitting: dict[frozenset, _Rule] = {}
    for flat, ends in product((False, True), suffixes):
        guess = _Rule(*ends, flat)
        pairs = _common(guess, found, true)
        if pairs:
            fitting.setdefault(pairs, guess)
    if not fitting:
        first = next(iter(_names(true, rule.gt_suffix)))
        raise DataError(
            f'{folders[0]}: no prediction has the name of a label map in {folders[1]}, '
            f'not even {first}{rule.pred_suffix}; --pred-suffix and --gt-suffix say how '
            'names end'
        )
    if len(fitting) > 1:
        some = '; or '.join(str(guess) for guess in list(fitting.values())[:2])
        raise ConfigError(
            f'{folders[0]} fits {folders[1]} in several ways: {some}; choose by '
            '--pred-suffix and --gt-suffix'
        )
    return next(iter(fitting.values()))


def _pairs(
    rule: _Rule, found: _Files, true: _Files, folder: Path, described: str = ''
) -> LabelPairs:
    predictions = _names(found, rule.pred_suffix, rule.flat)
    truths = _names(true, rule.gt_suffix, rule.flat)
    pairs = []
    for name, place in truths.items():
        short = str(place)[: -len(rule.gt_suffix)]
        if name in predictions:
            pairs.append(LabelPair(short, found[predictions[name]], true[place]))
        else:
            missing = folder / f'{name}{rule.pred_suffix}'
            pairs.append(LabelPair(short, missing, true[place], there=False))
    extra = [found[place] for name, place in predictions.items() if name not in truths]
    return LabelPairs(pairs, extra, described)


#: What a missing prediction is: a mistake, an image in which every pixel is wrong, or an image that
#: is not evaluated.
MISSING = ('error', 'wrong', 'skip')
#: How many of one kind are named in the text.
_NAMED = 5


@dataclass
class SegmentationResult:
    """The numbers of a folder, and everything that was odd about its files.

    Args:
        records: every image's confusion matrix, with a last column for pixels that have no
            prediction.
        missing: files that should be there.
        skipped: they are not evaluated; else they count as wrong in every pixel.
        extra: predictions that belong to no true label map.
        rule: how names were paired, if not by the same names.
        void: percent of the counted pixels of the images that have a prediction in which that is
            the ignored id.
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
            :func:`sci_plugins.apis.evaluate_segmentation.pair_label_maps` for others.
        num_classes: ids are 0 to ``num_classes`` - 1.
        classes: names of the classes in the order of the ids, or one of
            :data:`sci_plugins.datasets.night_layouts.CLASS_NAMES`; ``None``: the ids.
        subset, ignore_left_out: classes that the mean is over, see :class:`SegmentationRecords`.
        ignore_index: pixels of this true id do not count; predicted elsewhere it is wrong.
        pred_suffix, gt_suffix: how the names of the files end.
        missing: ``'error'``: every truth must have a prediction; ``'wrong'``: an image without one
            is wrong in every pixel; ``'skip'``: it is not evaluated.
        strict: refuse what is otherwise warned of: missing and extra predictions, pixels without
            prediction.
        progress: show a progress bar on stderr.

    Raises:
        ConfigError: if the classes, or options, do not fit.
        DataError: naming the file, if one is missing, cannot be read, is a picture in colours, has
            another size than its truth, or holds other ids.
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
    check_at_least(1, num_classes=num_classes)
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
