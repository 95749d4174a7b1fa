"""Several enhancers on one folder: numbers, pictures and mistakes."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sci_plugins.apis.evaluate import METRIC_NAMES, REFERENCE, QualityTable, evaluate_enhancement
from sci_plugins.datasets.low_light_folder import to_tensor
from sci_plugins.errors import CheckpointError, ConfigError, DataError
from sci_plugins.evaluation.metrics import EME, PSNR
from sci_plugins.models.enhancers import GammaEnhancer
from sci_plugins.utils.images import read_image, write_image
from tests.tiny_training import draw_images

BLIND = ('EME', 'LOE', 'Brightness')


@pytest.fixture()
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two dark images and partners of the square root of their brightness."""
    low, bright = draw_images(tmp_path / 'low', 2, (20, 24)), tmp_path / 'bright'
    bright.mkdir()
    for path in low.iterdir():
        pixels = np.sqrt(read_image(path) / 255) * 255
        Image.fromarray(pixels.astype(np.uint8)).save(bright / path.name)
    return low, bright


def test_numbers_are_those_of_the_metrics(folders: tuple[Path, Path]) -> None:
    low, bright = folders
    table = evaluate_enhancement(low, bright, ['none', 'gamma/0.7'])
    assert list(table.scores) == ['none', 'gamma/0.7', REFERENCE]
    assert table.images == ['0.png', '1.png']
    assert len(table.metrics) == len(METRIC_NAMES)
    image, reference = (to_tensor(read_image(each / '1.png')) for each in folders)
    enhanced = GammaEnhancer(0.7)(image[None])[0]
    row = table.scores['gamma/0.7']
    assert row[PSNR.key][1] == PSNR().score(enhanced, image, reference)
    assert row[EME.key][1] == EME().score(enhanced, image)
    assert table.scores[REFERENCE].keys() == row.keys() - {PSNR.key, 'SSIM_gauss11_sigma1.5_range1'}
    assert table.mean('gamma/0.7', PSNR.key) > table.mean('none', PSNR.key)


def test_the_right_gamma_is_found(folders: tuple[Path, Path]) -> None:
    """The partners are the images to the power of 0.5."""
    names = [f'gamma/{gamma}' for gamma in (0.4, 0.5, 0.6)]
    table = evaluate_enhancement(*folders, names, metrics=['PSNR'])
    best = max(names, key=lambda name: table.mean(name, PSNR.key))
    assert best == 'gamma/0.5'


@pytest.mark.parametrize('with_references', [True, False])
def test_relative_folders(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, with_references: bool
) -> None:
    monkeypatch.chdir(folders[0].parent)
    low, normal = (each.name for each in folders)
    table = evaluate_enhancement(
        low, normal if with_references else None, ['none'], metrics=['EME']
    )
    assert table.images == ['0.png', '1.png']


def test_without_references(folders: tuple[Path, Path]) -> None:
    table = evaluate_enhancement(folders[0], None, ['none'])
    assert list(table.scores) == ['none']
    assert not [key for key in table.metrics if key.startswith(('PSNR', 'SSIM'))]
    assert table.mean('none', 'LOE_side50') == 0


def test_variants_of_ones_own(folders: tuple[Path, Path]) -> None:
    module = GammaEnhancer(0.5)
    variants = dict(mine=module, config=dict(type='sci_plugins.GammaEnhancer', gamma=0.5))
    table = evaluate_enhancement(folders[0], None, variants, metrics=BLIND)
    assert table.scores['mine'] == table.scores['config']


def test_what_it_was_made_with(folders: tuple[Path, Path]) -> None:
    table = evaluate_enhancement(
        *folders, ['none', 'sci/sci_plugins/lol'], metrics=BLIND, max_size=22
    )
    assert list(table.about['weights']) == ['sci/sci_plugins/lol']
    assert len(table.about['weights']['sci/sci_plugins/lol']) == 64
    assert table.about['max_size'] == 22
    assert table.about['versions']['torch'] == str(torch.__version__)


@pytest.mark.parametrize(('variants', 'rows'), [(['gamma'], 1), (['none', 'gamma', 'clahe'], 2)])
def test_pictures(folders: tuple[Path, Path], tmp_path: Path, variants: Any, rows: int) -> None:
    (folders[0] / 'sub').mkdir()
    (folders[1] / 'sub').mkdir()
    for folder in folders:
        (folder / '1.png').rename(folder / 'sub' / '1.png')
    evaluate_enhancement(*folders, variants, metrics=BLIND, pictures=tmp_path / 'out')
    assert {path.name for path in (tmp_path / 'out').iterdir()} == {'0.jpg', 'sub_1.jpg'}
    with Image.open(tmp_path / 'out' / '0.jpg') as sheet:
        assert rows * 400 < sheet.height < rows * 400 + 100


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(variants=[]), 'at least one enhancer'),
        (dict(variants=dict(reference='none')), "none called 'reference'"),
        (dict(variants=['nothing']), "unknown enhancer 'nothing'"),
        (dict(metrics=['Nothing']), "unknown metric 'Nothing'; known: PSNR"),
        (dict(metrics=['DarkFaceMetric']), "unknown metric 'DarkFaceMetric'"),
        (dict(device='abacus'), "unknown device 'abacus'"),
        (dict(device='meta'), "unknown device 'meta'"),
    ],
)
def test_mistakes(folders: tuple[Path, Path], options: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluate_enhancement(folders[0], **options)


def test_a_damaged_weight_file_is_no_matter_of_the_device(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    damaged = tmp_path / 'damaged.pth'
    damaged.write_bytes(b'PK\x03\x04 no more than this')
    with pytest.raises(CheckpointError, match='damaged') as raised:
        evaluate_enhancement(folders[0], None, [f'sci/{damaged}'])
    assert 'device' not in str(raised.value)


def test_data_that_is_not_right(folders: tuple[Path, Path], tmp_path: Path) -> None:
    low, bright = folders
    with pytest.raises(DataError, match='image folder not found'):
        evaluate_enhancement(tmp_path / 'no', None, ['none'])
    with pytest.raises(DataError, match='is missing'):
        evaluate_enhancement(low, tmp_path / 'no', ['none'])
    (bright / '1.png').unlink()
    with pytest.raises(DataError, match=r'no partner in .*; the first is 1\.png'):
        evaluate_enhancement(low, bright, ['none'])
    (low / '0.png').write_text('no image')
    with pytest.raises(DataError, match=r'0\.png'):
        evaluate_enhancement(low, None, ['none'])


@pytest.fixture()
def table() -> QualityTable:
    scores = {
        'none': {'PSNR': [8.0, 6.0], 'EME': [1.0, 2.0]},
        'sci/official/medium': {'PSNR': [math.inf, 15.0], 'EME': [3.0, 4.0]},
        'reference': {'EME': [5.0, 6.0]},
    }
    return QualityTable(dict(low='night'), ['a.png', 'b.png'], scores)


def test_means(table: QualityTable) -> None:
    assert table.metrics == ['PSNR', 'EME']
    assert table.mean('none', 'PSNR') == 7
    assert table.mean('sci/official/medium', 'PSNR') == math.inf
    assert math.isnan(table.mean('reference', 'PSNR'))


def test_text(table: QualityTable) -> None:
    assert table.to_text().split('\n') == [
        'variant               PSNR    EME',
        'none                 7.000  1.500',
        'sci/official/medium    inf  3.500',
        'reference                –  5.500',
        'means over 2 images',
    ]


def test_json(table: QualityTable) -> None:
    content = json.loads(table.to_json())
    assert content['about'] == dict(low='night')
    assert content['images'] == ['a.png', 'b.png']
    none, sci, reference = content['variants']
    assert none['mean'] == dict(PSNR=7.0, EME=1.5)
    assert sci['mean'] == dict(PSNR=None, EME=3.5)  # JSON holds no infinity
    assert sci['images']['PSNR'] == [None, 15.0]
    assert reference['mean'] == dict(EME=5.5)
    assert 'Infinity' not in table.to_json()


def test_two_images_of_one_name_get_two_sheets(tmp_path: Path) -> None:
    for name in ('a.png', 'a.bmp', 'x/1.png', 'x_1.png', 'b.png'):
        write_image(tmp_path / 'low' / name, np.full((12, 12, 3), 40, np.uint8))
    evaluate_enhancement(tmp_path / 'low', None, ['none'], pictures=tmp_path / 'out')
    found = sorted(path.name for path in (tmp_path / 'out').iterdir())
    assert len(found) == 5
    assert {'a.bmp.jpg', 'a.png.jpg', 'b.jpg', 'x_1.png.jpg'} < set(found)
