"""A folder of label maps: the numbers, and every file that does not fit by its name."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sci_plugins.apis.evaluate_segmentation import evaluate_segmentation, name_classes
from sci_plugins.datasets.night_layouts import CITYSCAPES
from sci_plugins.errors import ConfigError, DataError
from tests.plain_segmentation import plain_segmentation, random_labels

Folders = tuple[Path, Path]
Pairs = list[tuple[np.ndarray, np.ndarray]]


def _write(path: Path, labels: np.ndarray, palette: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(labels)
    if palette:
        image.putpalette(list(range(255, -1, -1)) * 3)
    image.save(path)


@pytest.fixture
def pairs(rng: np.random.Generator) -> Pairs:
    """Three images with the first four of five classes."""
    return random_labels(rng, 4, 3)


@pytest.fixture
def folders(tmp_path: Path, pairs: Pairs) -> Folders:
    for index, pair in enumerate(pairs):
        for folder, labels in zip(('pred', 'gt'), pair, strict=True):
            _write(tmp_path / folder / f'rec{index % 2}/{index}.png', labels)
    return tmp_path / 'pred', tmp_path / 'gt'


def _evaluate(folders: Folders, **options: Any) -> Any:
    return evaluate_segmentation(*folders, **dict(dict(num_classes=5), **options))


def test_the_plain_references_numbers(folders: Folders, pairs: Pairs) -> None:
    result = _evaluate(folders)
    plain = plain_segmentation(pairs, '01234')
    content = json.loads(result.to_json())
    protocol = content.pop('protocol')
    assert (protocol['images'], protocol['classes']) == ('3', '0, 1, 2, 3, 4')
    assert list(content) == ['mIoU', 'IoU/0', 'IoU/1', 'IoU/2', 'IoU/3', 'IoU/4']
    for name, value in content.items():
        if value is None:
            assert name == 'IoU/4'
            assert math.isnan(plain[name])
        else:
            assert value == pytest.approx(plain[name], abs=1e-11)
    assert result.warnings() == []
    assert result.records.ids == ['rec0/0', 'rec0/2', 'rec1/1']


def test_the_hosts_own_number(folders: Folders, pairs: Pairs) -> None:
    metrics = pytest.importorskip('mmseg.evaluation.metrics')
    import torch

    areas = [
        metrics.IoUMetric.intersect_and_union(
            torch.from_numpy(found).long(), torch.from_numpy(truth).long(), 5, 255
        )
        for found, truth in pairs
    ]
    totals = [sum(area).double() for area in zip(*areas, strict=True)]
    theirs = metrics.IoUMetric.total_area_to_metrics(*totals)['IoU']
    assert _evaluate(folders).numbers['mIoU'] == pytest.approx(100 * np.nanmean(theirs))


def test_names_presets_and_subsets(folders: Folders) -> None:
    whole = _evaluate(folders)
    named = _evaluate(folders, classes=['road', 'sky', 'pole', 'traffic sign', 'car'])
    assert list(named.numbers)[-2:] == ['IoU/traffic sign', 'IoU/car']
    assert named.numbers['mIoU'] == whole.numbers['mIoU']
    assert 'neither present nor predicted: car' in named.to_text()
    city = _evaluate(folders, num_classes=19, classes='cityscapes', subset=15)
    assert len(city.numbers) == 16
    assert city.numbers['mIoU'] == pytest.approx(whole.numbers['mIoU'])
    assert 'without rider, truck, bus, motorcycle' in city.to_text()
    part = _evaluate(folders, subset=['1', '3'], ignore_left_out=True)
    assert list(part.numbers) == ['mIoU', 'IoU/1', 'IoU/3']
    assert part.numbers['IoU/1'] > whole.numbers['IoU/1']


def test_palettes_hold_indices(folders: Folders, pairs: Pairs) -> None:
    expected = _evaluate(folders).numbers
    for index, pair in enumerate(pairs):
        for folder, labels in zip(folders, pair, strict=True):
            _write(folder / f'rec{index % 2}/{index}.png', labels, palette=True)
    np.testing.assert_equal(_evaluate(folders).numbers, expected)


def test_sixteen_bits_and_another_ignored_id(folders: Folders, pairs: Pairs) -> None:
    expected = _evaluate(folders).numbers
    for index, (found, truth) in enumerate(pairs):
        wide = truth.astype(np.uint16)
        wide[wide == 255] = 60000
        _write(folders[1] / f'rec{index % 2}/{index}.png', wide)
        _write(folders[0] / f'rec{index % 2}/{index}.png', found.astype(np.uint16))
    np.testing.assert_equal(_evaluate(folders, ignore_index=60000).numbers, expected)
    with pytest.raises(DataError, match=r'gt/rec0/0.png must hold ids .*, got 60000$'):
        _evaluate(folders)


def test_pixels_without_prediction_are_wrong(folders: Folders, pairs: Pairs) -> None:
    found, truth = pairs[0]
    found[truth == 2] = 255
    _write(folders[0] / 'rec0/0.png', found)
    result = _evaluate(folders)
    plain = plain_segmentation(pairs, '01234')
    assert result.numbers['mIoU'] == pytest.approx(plain['mIoU'])
    share = 100 * (truth == 2).sum() / sum((t != 255).sum() for _, t in pairs)
    assert result.void == pytest.approx(share)
    assert result.warnings() == [
        f'{share:.3g} % of the pixels are predicted as the ignored id and count as wrong'
    ]
    with pytest.raises(DataError, match=r'pred: .* ignored id .* \(--strict\)'):
        _evaluate(folders, strict=True)


def test_a_missing_prediction(folders: Folders, pairs: Pairs) -> None:
    (folders[0] / 'rec1/1.png').unlink()
    wanted = r'pred/rec1/1.png: no such prediction \(1 of 3 missing; '
    with pytest.raises(DataError, match=wanted + 'see --missing'):
        _evaluate(folders)
    with pytest.raises(DataError, match=wanted + '--strict'):
        _evaluate(folders, strict=True, missing='wrong')
    result = _evaluate(folders, missing='wrong')
    pairs[1] = np.full_like(pairs[1][0], 255), pairs[1][1]
    plain = plain_segmentation(pairs, '01234')
    np.testing.assert_allclose(
        list(result.numbers.values()), [plain[name] for name in result.numbers]
    )
    assert result.void == 0
    (warning,) = result.warnings()
    assert warning.startswith('1 of 3 images have no prediction and count as wrong')
    assert warning.endswith('pred/rec1/1.png')


def test_a_missing_prediction_can_be_left_out(folders: Folders, pairs: Pairs) -> None:
    (folders[0] / 'rec1/1.png').unlink()
    result = _evaluate(folders, missing='skip')
    plain = plain_segmentation([pairs[0], pairs[2]], '01234')
    np.testing.assert_allclose(
        list(result.numbers.values()), [plain[name] for name in result.numbers]
    )
    assert result.records.ids == ['rec0/0', 'rec0/2']
    (warning,) = result.warnings()
    assert warning.startswith('1 of 3 images have no prediction and are skipped: ')
    with pytest.raises(DataError, match=r'1 of 3 missing; --strict'):
        _evaluate(folders, strict=True, missing='skip')


def test_an_extra_prediction(folders: Folders, pairs: Pairs) -> None:
    expected = _evaluate(folders).numbers
    _write(folders[0] / 'rec0/7.png', pairs[0][0])
    result = _evaluate(folders)
    np.testing.assert_equal(result.numbers, expected)
    assert result.warnings()[0].startswith('ignored 1 prediction without ground truth: ')
    assert result.warnings()[0].endswith('rec0/7.png')
    with pytest.raises(DataError, match=r'rec0/7.png \(--strict\)'):
        _evaluate(folders, strict=True)


def test_another_layout_is_told(folders: Folders) -> None:
    expected = _evaluate(folders).numbers
    for path in folders[1].rglob('*.png'):
        path.rename(path.with_name(f'{path.stem}_gt_labelTrainIds.png'))
    result = _evaluate(folders, strict=True)
    np.testing.assert_equal(result.numbers, expected)
    told = 'paired: NAME.png with ground truth NAME_gt_labelTrainIds.png'
    assert result.to_text().startswith(told)
    assert result.records.ids == ['rec0/0', 'rec0/2', 'rec1/1']
    given = _evaluate(folders, gt_suffix='_gt_labelTrainIds.png')
    assert 'paired' not in given.to_text()


def _replace(folder: int, labels: np.ndarray) -> Callable[[Folders], None]:
    return lambda folders: _write(folders[folder] / 'rec0/2.png', labels)


def _ids(value: int) -> np.ndarray:
    labels = np.zeros((12, 15), np.uint8)
    labels[3, 4] = value
    return labels


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (
            _replace(0, np.zeros((15, 12), np.uint8)),
            r'pred/rec0/2.png must have the size of \S+gt/rec0/2.png, 15 x 12, got 12',
        ),
        (_replace(0, _ids(5)), r'pred/rec0/2.png must hold ids 0 to 4 or 255 .*, got 5'),
        (_replace(1, _ids(33)), r'gt/rec0/2.png must hold ids 0 to 4 or 255 .*, got 33'),
        (_replace(1, np.zeros((12, 15, 3), np.uint8)), r'gt/rec0/2.png is a colour image \(RGB\)'),
        (
            _replace(0, np.zeros((12, 15, 4), np.uint8)),
            r'pred/rec0/2.png is a colour image \(RGBA\)',
        ),
        (lambda folders: (folders[1] / 'rec0/2.png').write_bytes(b''), r'gt/rec0/2.png is empty'),
    ],
)
def test_a_file_that_does_not_fit(
    folders: Folders, change: Callable[[Folders], object], words: str
) -> None:
    change(folders)
    with pytest.raises(DataError, match=words):
        _evaluate(folders)


def test_nothing_counts(folders: Folders) -> None:
    for path in folders[1].rglob('*.png'):
        _write(path, np.full((12, 15), 255, np.uint8))
    result = _evaluate(folders)
    content = json.loads(result.to_json())
    assert content.pop('protocol')['images_sha256']
    assert set(content.values()) == {None}
    assert result.warnings() == ['nothing to evaluate: the ground truth is ignored everywhere']


def test_names_of_classes() -> None:
    assert name_classes(3, None) == ['0', '1', '2']
    assert name_classes(19, 'cityscapes') == list(CITYSCAPES)
    assert name_classes(11, ['camvid'])[0] == 'sky'
    assert name_classes(1, ['road']) == ['road']
    for count, names in ((3, ['a', 'b']), (2, ['a', 'a']), (11, 'cityscapes')):
        with pytest.raises(ConfigError, match=f'classes must be {count} different'):
            name_classes(count, names)
    with pytest.raises(ConfigError, match='num_classes must be at least 1, got 0'):
        name_classes(0, None)


def test_options_that_do_not_fit(folders: Folders) -> None:
    with pytest.raises(ConfigError, match='missing must be one of error, wrong, skip'):
        _evaluate(folders, missing='none')
    with pytest.raises(ConfigError, match="classes=15 needs 'road'"):
        _evaluate(folders, subset=15)
