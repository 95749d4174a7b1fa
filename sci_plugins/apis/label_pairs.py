"""Which predicted label map belongs to which true one, by the names of the files."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path, PurePosixPath

from sci_plugins.errors import ConfigError, DataError

#: Endings of true label maps, and of images whose names predictions take over, in the
#: usual layouts of street scenes. Tried only where names differ.
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

    Where nothing has the same path, names without their folders are tried and, with no
    suffix given, the endings of the usual layouts; what fits must be unambiguous.

    Args:
        pred_dir, gt_dir: folders, searched with all that is below them.
        pred_suffix, gt_suffix: endings that are not part of the name, such as
            ``'_gt_labelTrainIds.png'``; files that end otherwise are not looked at.

    Raises:
        ConfigError: if a suffix does not end in ``.png``, both folders are one, or
            several layouts fit.
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
    return _pairs(
        rule if given else _one_kind(rule, found, true), found, true, folders[0]
    )


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
