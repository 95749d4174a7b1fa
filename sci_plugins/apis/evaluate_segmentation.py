"""Evaluate a folder of predicted label maps, whichever tool wrote them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path, PurePosixPath

import numpy as np
from tqdm import tqdm

from sci_plugins.datasets.night_layouts import CLASS_NAMES
from sci_plugins.errors import ConfigError, DataError, check_at_least, check_choice
from sci_plugins.evaluation import segmentation_records
from sci_plugins.evaluation.comparison import finite_or_none
from sci_plugins.evaluation.segmentation_records import SegmentationRecords
from sci_plugins.functional.confusion import MAX_CLASSES, confusion_matrix, unknown_ids
from sci_plugins.utils.folders import PathLike, list_files
from sci_plugins.utils.images import read_label_map
from sci_plugins.visualization.report.cells import count, first_few

#: Endings of ground truth and predictions in layouts of street scenes, tried where names differ.
GT_SUFFIXES = (
    '.png', '_gt_labelTrainIds.png', '_gtFine_labelTrainIds.png', '_gtCoarse_labelTrainIds.png',
    '_labelTrainIds.png', '_trainIds.png',
)  # fmt: skip
PRED_SUFFIXES = ('.png', '_rgb_anon.png', '_leftImg8bit.png')
_PLAIN = '.png'
# Path below a folder -> file, of the predictions and of the ground truth.
_Sides = tuple[dict[PurePosixPath, Path], ...]
#: A missing prediction is an error, wrong in every pixel, or not evaluated.
MISSING = ('error', 'wrong', 'skip')


@dataclass(frozen=True)
class LabelPair:
    """A ground-truth label map and its prediction."""

    name: str  # path of the ground truth below its folder, without ending
    prediction: Path  # file of the prediction, or where it should be
    truth: Path  # file of the ground truth
    there: bool = True  # whether the prediction exists


@dataclass(frozen=True)
class LabelPairs:
    """All ground-truth label maps of a folder with their predictions."""

    pairs: list[LabelPair]  # sorted by the names of the ground truth; at least one
    extra: list[Path] = field(default_factory=list)  # predictions without ground truth
    rule: str = ''  # how file names were matched; empty if they are the same

    @property
    def missing(self) -> list[LabelPair]:
        return [pair for pair in self.pairs if not pair.there]


@dataclass(frozen=True)
class _Rule:
    """How names are matched: without these endings and, if ``flat``, without folders."""

    pred_suffix: str
    gt_suffix: str
    flat: bool = False

    def __str__(self) -> str:
        where = ', by file name alone, whatever the folder' if self.flat else ''
        return f'NAME{self.pred_suffix} with ground truth NAME{self.gt_suffix}{where}'

    def names(self, files: _Sides) -> tuple[dict[str, PurePosixPath], ...]:
        """Name -> path, of the predictions and of the ground truth."""
        pairs = zip(files, (self.pred_suffix, self.gt_suffix), strict=True)
        return tuple(_names(side, suffix, self.flat) for side, suffix in pairs)

    def matches(self, files: _Sides) -> frozenset[tuple[PurePosixPath, PurePosixPath]]:
        predictions, truths = self.names(files)
        return frozenset((predictions[n], truths[n]) for n in truths if n in predictions)


def pair_label_maps(
    pred_dir: PathLike,
    gt_dir: PathLike,
    pred_suffix: str | None = None,
    gt_suffix: str | None = None,
) -> LabelPairs:
    """Match predictions with ground truth by their paths below the two folders.

    If no paths are equal, names without folders are tried and, without a given suffix, the endings
    of the usual layouts; the match must be unambiguous. A suffix, such as
    ``'_gt_labelTrainIds.png'``, is not part of the name; files with other endings are ignored.

    Raises:
        ConfigError: if a suffix is not of PNG, the folders are the same, or several layouts match.
        DataError: if a folder is missing or empty, or nothing matches.
    """
    folders = Path(pred_dir), Path(gt_dir)
    ends = [_PLAIN if each is None else each for each in (pred_suffix, gt_suffix)]
    for suffix in ends:
        if not suffix.lower().endswith(_PLAIN):
            raise ConfigError(f'a suffix must end in .png, got {suffix!r}')
    rule, files = _Rule(ends[0], ends[1]), tuple(map(_png_files, folders))
    if folders[0].resolve() == folders[1].resolve():
        raise ConfigError(f'{folders[0]} is given both as predictions and as ground truth')
    for folder, end, names in zip(folders, ends, rule.names(files), strict=True):
        if not names:
            raise DataError(f'{folder}: no label maps (*{end})')
    given, told = pred_suffix is not None or gt_suffix is not None, ''
    if not rule.matches(files):
        rule = _guess(rule, given, files, folders)
        told = str(rule)
    elif not given:
        rule = _one_kind(rule, files)
    (predictions, truths), (found, true) = rule.names(files), files
    pairs = []
    for name, place in truths.items():
        there = name in predictions
        file = found[predictions[name]] if there else folders[0] / f'{name}{rule.pred_suffix}'
        pairs.append(LabelPair(str(place)[: -len(rule.gt_suffix)], file, true[place], there))
    extra = [found[place] for name, place in predictions.items() if name not in truths]
    return LabelPairs(pairs, extra, told)


def _png_files(folder: Path) -> dict[PurePosixPath, Path]:
    files = list_files(folder, [_PLAIN]).files
    places = {PurePosixPath(path.relative_to(folder).as_posix()): path for path in files}
    return dict(sorted(places.items()))


def _names(files: Iterable[PurePosixPath], suffix: str, flat: bool) -> dict[str, PurePosixPath]:
    """Name -> path; empty if a name occurs in several folders."""
    plain = suffix == _PLAIN  # in capitals too
    names = ((each, each.name.lower() if plain else each.name) for each in files)
    fitting = [each for each, name in names if len(name) > len(suffix) and name.endswith(suffix)]
    found = {(each.name if flat else str(each))[: -len(suffix)]: each for each in fitting}
    return found if len(found) == len(fitting) else {}


def _one_kind(rule: _Rule, files: _Sides) -> _Rule:
    """The same names, without the other kinds of labels that Cityscapes and ACDC have beside."""
    pairs = rule.matches(files)
    kinds = (_Rule(suffix, suffix) for suffix in GT_SUFFIXES[1:] if len(pairs) < len(files[1]))
    return next((kind for kind in kinds if kind.matches(files) == pairs), rule)


def _guess(rule: _Rule, given: bool, files: _Sides, folders: tuple[Path, Path]) -> _Rule:
    """The only usual layout that matches."""
    own = [(rule.pred_suffix, rule.gt_suffix)]
    fitting: dict[frozenset, _Rule] = {}
    for flat, ends in product((False, True), own if given else product(PRED_SUFFIXES, GT_SUFFIXES)):
        guess = _Rule(*ends, flat)
        if pairs := guess.matches(files):
            fitting.setdefault(pairs, guess)
    options, guesses = '--pred-suffix and --gt-suffix', list(fitting.values())
    if not guesses:
        such = f'such as {next(iter(rule.names(files)[1]))}{rule.pred_suffix}; set {options}'
        like = f'no prediction is named like a label map in {folders[1]}'
        raise DataError(f'{folders[0]}: {like}, {such}')
    if len(guesses) > 1:
        ways = f'in several ways: {guesses[0]}; or {guesses[1]}; choose with {options}'
        raise ConfigError(f'{folders[0]} matches {folders[1]} {ways}')
    return guesses[0]


@dataclass
class SegmentationResult:
    """The numbers of a folder, and all irregularities of its files."""

    records: SegmentationRecords  # matrices have a last column for pixels without prediction
    missing: list[str] = field(default_factory=list)  # missing files
    skipped: bool = False  # whether these are; else they count as wrong in every pixel
    extra: list[str] = field(default_factory=list)  # predictions without ground truth
    rule: str = ''  # how file names were matched; empty if they are the same
    void: float = 0.0  # percent of the pixels in predicted images that are predicted as ignored

    @property
    def numbers(self) -> dict[str, float]:
        """``mIoU`` and ``IoU/CLASS`` in percent, NaN where nothing is."""
        names = [name for name in self.records.names if name not in ('aAcc', 'mAcc')]
        return self.records.metrics(names)

    def to_json(self) -> str:
        content = finite_or_none(self.numbers) | dict(protocol=self.records.protocol())
        return json.dumps(content, indent=2) + '\n'

    def to_text(self) -> str:
        paired = [f'paired: {self.rule}'] if self.rule else []
        return '\n'.join([*paired, segmentation_records.class_table(self.records)])

    def warnings(self) -> list[str]:
        """What the user must know before quoting the numbers."""
        lines = []
        if self.missing:
            total = len(self.records.ids) + self.skipped * len(self.missing)
            kept = 'are skipped' if self.skipped else 'count as wrong in every pixel'
            told = f'{len(self.missing)} of {total} images have no prediction and {kept}'
            lines.append(f'{told}: {first_few(self.missing)}')
        if self.extra:
            ignored = count(len(self.extra), 'prediction')
            lines.append(f'ignored {ignored} without ground truth: {first_few(self.extra)}')
        if self.void:
            share = f'{self.void:.3g} % of the pixels'
            lines.append(f'{share} are predicted as the ignored id and count as wrong')
        if not self.records.matrices.any():
            lines.append('nothing to evaluate: the ground truth is ignored everywhere')
        return lines


def evaluate_segmentation(
    pred_dir: PathLike,
    gt_dir: PathLike,
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
    """Mean IoU of label maps in PNG files, accumulated over the set as in mmseg.

    Args:
        pred_dir, gt_dir, pred_suffix, gt_suffix: folders of maps, searched recursively, and
            endings of their names; see :func:`pair_label_maps`.
        num_classes: ids are 0 to ``num_classes`` - 1.
        classes: names of the classes in the order of the ids, or one of
            :data:`sci_plugins.datasets.night_layouts.CLASS_NAMES`; ``None``: the ids.
        subset, ignore_left_out: classes to average over, see :class:`SegmentationRecords`.
        ignore_index: pixels of this true id do not count; predicted elsewhere it is wrong.
        missing: for ground truth without prediction: ``'error'`` raises, ``'wrong'`` counts every
            pixel as wrong, ``'skip'`` leaves the image out.
        strict: raise instead of warning: missing and extra predictions, pixels without prediction.

    Raises:
        ConfigError: if classes or options are invalid.
        DataError: naming the file that is missing, not readable or no such label map.
    """
    names = name_classes(num_classes, classes)
    kept = segmentation_records.choose_classes(subset, names)
    check_choice('missing', missing, MISSING)
    found = pair_label_maps(pred_dir, gt_dir, pred_suffix, gt_suffix)
    if found.missing and (strict or missing == 'error'):
        share = f'{len(found.missing)} of {len(found.pairs)} missing'
        advice = '--strict' if strict else 'see --missing'
        raise DataError(f'{found.missing[0].prediction}: no such prediction ({share}; {advice})')
    pairs = [pair for pair in found.pairs if pair.there or missing != 'skip']
    bar = tqdm(pairs, unit='image', disable=not progress)
    matrices = np.stack([_count(pair, num_classes, ignore_index) for pair in bar])
    predicted = matrices[[pair.there for pair in pairs]]
    void = float(100 * predicted[:, :, -1].sum() / predicted.sum()) if predicted.any() else 0.0
    ids, absent = [pair.name for pair in pairs], [str(pair.prediction) for pair in found.missing]
    records = SegmentationRecords(ids, matrices, names, kept, ignore_left_out)
    extra = [str(path) for path in found.extra]
    result = SegmentationResult(
        records, absent, skipped=missing == 'skip', extra=extra, rule=found.rule, void=void
    )
    if strict and result.warnings():
        raise DataError(f'{pred_dir}: {result.warnings()[0]} (--strict)')
    return result


def name_classes(num_classes: int, classes: str | Sequence[str] | None) -> list[str]:
    """``num_classes`` different names in the order of the ids, or ConfigError."""
    check_at_least(1, most=MAX_CLASSES, num_classes=num_classes)
    if classes is None:
        return [str(index) for index in range(num_classes)]
    given = [classes] if isinstance(classes, str) else list(classes)
    names = list(CLASS_NAMES.get(given[0], given)) if len(given) == 1 else given
    if len(names) != num_classes or len(set(names)) != num_classes:
        wish = f'{num_classes} different names (num_classes), or one of {", ".join(CLASS_NAMES)}'
        raise ConfigError(f'classes must be {wish}; got {len(names)}: {first_few(names)}')
    return names


def _count(pair: LabelPair, classes: int, ignored: int) -> np.ndarray:
    true = _read(pair.truth, classes, ignored)
    found = _read(pair.prediction, classes, ignored) if pair.there else true
    if found.shape != true.shape:
        sizes = ', got '.join(f'{each.shape[1]} x {each.shape[0]}' for each in (true, found))
        raise DataError(f'{pair.prediction} must have the size of {pair.truth}, {sizes}')
    matrix = confusion_matrix(found, true, classes, ignored, void=True)
    if not pair.there:  # every pixel is without prediction
        matrix[:, -1], matrix[:, :-1] = matrix.sum(axis=1), 0
    return matrix


def _read(path: Path, classes: int, ignored: int) -> np.ndarray:
    labels = read_label_map(path)
    if unknown := [str(value) for value in unknown_ids(labels, classes, ignored)]:
        wish = f'ids 0 to {classes - 1} or {ignored} (ignored)'
        raise DataError(f'{path} must hold {wish}, got {first_few(unknown)}')
    return labels
