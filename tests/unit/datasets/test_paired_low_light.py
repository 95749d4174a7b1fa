"""Pairs in the layouts of LOL, LSRW and MIT-Adobe 5K, and what is wrong with them."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS
from PIL import Image

from sci_plugins.datasets.low_light_folder import stack_images
from sci_plugins.datasets.paired_low_light import LAYOUTS
from sci_plugins.datasets.samplers import Draw
from sci_plugins.errors import ConfigError, DataError


def build(root: Path, **options: Any) -> Any:
    config = dict(type='sci_plugins.PairedLowLightDataset', data_root=str(root))
    return DATASETS.build(config | options)


def draw(path: Path, value: int, size: tuple[int, int] = (10, 12)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), value, np.uint8)).save(path)


def draw_pairs(root: Path, low: str, bright: str, names: str = '1.png 2.png') -> Path:
    for index, name in enumerate(names.split()):
        draw(root / low / name, 10 + index)
        draw(root / bright / name, 100 + index)
    return root


@pytest.mark.parametrize(('layout', 'pairs'), [(name, pairs) for name, pairs in LAYOUTS.items()])
def test_layouts(tmp_path: Path, layout: str, pairs: Any) -> None:
    if layout == 'pairs':
        pairs = pairs[:1]
    for low, bright in pairs:
        draw_pairs(tmp_path, low, bright)
    data = build(tmp_path, layout=layout)
    assert len(data) == 2 * len(pairs)
    for index, path in enumerate(data.files):
        item = data[index]
        assert item['data_samples'].img_path == str(path)
        assert float(item['inputs'].max()) == pytest.approx((10 + index % 2) / 255)
        reference = item['data_samples'].reference
        assert float(reference.min()) == pytest.approx((100 + index % 2) / 255)
        assert item['inputs'].shape == reference.shape == (3, 10, 12)
    assert {path.parent.relative_to(tmp_path).as_posix() for path in data.files} == {
        low for low, _ in pairs
    }


def test_the_four_layouts_of_the_data_sets() -> None:
    assert set(LAYOUTS) == {'pairs', 'lol-train', 'lol-test', 'lsrw', 'fivek'}
    assert LAYOUTS['lol-test'] == (('eval15/low', 'eval15/high'),)
    assert LAYOUTS['fivek'] == (('input', 'expertC'),)


@pytest.mark.parametrize('bright', ['normal', 'high'])
def test_plain_pairs(tmp_path: Path, bright: str) -> None:
    draw_pairs(tmp_path, 'low', bright)
    assert len(build(tmp_path)) == 2


def test_one_camera_of_two(tmp_path: Path) -> None:
    draw_pairs(tmp_path, 'Nikon/low', 'Nikon/high')
    assert len(build(tmp_path, layout='lsrw')) == 2


def test_folders_of_ones_own_and_other_suffixes(tmp_path: Path) -> None:
    draw(tmp_path / 'input' / 'sub' / 'a.jpg', 10)
    draw(tmp_path / 'expertA' / 'sub' / 'a.png', 100)
    draw(tmp_path / 'expertA' / 'unused.png', 100)
    data = build(tmp_path, folders=('input', 'expertA'))
    assert data.pairs == [
        (tmp_path / 'input' / 'sub' / 'a.jpg', tmp_path / 'expertA' / 'sub' / 'a.png')
    ]


def test_max_size_shrinks_both(tmp_path: Path) -> None:
    item = build(draw_pairs(tmp_path, 'low', 'high'), max_size=6)[Draw(0)]
    assert item['inputs'].shape == (3, 5, 6)
    assert item['data_samples'].reference.shape == (3, 5, 6)


def test_batches_and_pickles(tmp_path: Path) -> None:
    data = pickle.loads(pickle.dumps(build(draw_pairs(tmp_path, 'low', 'high'))))
    batch = stack_images([data[0], data[1]])
    assert batch['inputs'].shape == (2, 3, 10, 12)
    assert torch.is_tensor(batch['data_samples'][1].reference)


def test_a_missing_partner_is_named(tmp_path: Path) -> None:
    draw_pairs(tmp_path, 'low', 'high')
    draw(tmp_path / 'low' / '0.png', 10)
    message = r'1 of 3 images in .*low have no partner in .*high; the first is 0\.png'
    with pytest.raises(DataError, match=message):
        build(tmp_path)


def test_two_partners(tmp_path: Path) -> None:
    draw_pairs(tmp_path, 'low', 'high')
    draw(tmp_path / 'high' / '1.jpg', 10)
    with pytest.raises(DataError, match=r'1\.png and .*1\.jpg are partners of the same image'):
        build(tmp_path)


def test_sizes_that_differ_are_named(tmp_path: Path) -> None:
    draw_pairs(tmp_path, 'low', 'high')
    draw(tmp_path / 'high' / '2.png', 10, (12, 10))
    data = build(tmp_path)
    assert data[0]
    message = r'low.2\.png is 12x10, its partner .*high.2\.png is 10x12'
    with pytest.raises(DataError, match=message):
        data[1]


@pytest.mark.parametrize(
    ('made', 'missing'), [((), 'our485/low'), (('our485/low',), 'our485/high')]
)
def test_missing_folders(tmp_path: Path, made: tuple[str, ...], missing: str) -> None:
    for name in made:
        (tmp_path / name).mkdir(parents=True)
    message = f'must have the folders our485/low and our485/high; .*{missing} is missing'
    with pytest.raises(DataError, match=message):
        build(tmp_path, layout='lol-train')


def test_empty_folders(tmp_path: Path) -> None:
    for name in ('low', 'high'):
        (tmp_path / name).mkdir()
    with pytest.raises(DataError, match='no image'):
        build(tmp_path)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(layout='lol'), 'layout must be one of pairs, lol-train, .* got .lol.'),
        (dict(folders=['a']), 'folders must be two names'),
    ],
)
def test_mistakes(tmp_path: Path, options: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(tmp_path, **options)


def test_real_pairs(shared_data: Path) -> None:
    data = build(shared_data / 'data' / 'lol' / 'test')
    assert len(data) == 8
    item = data[0]
    assert item['inputs'].shape == (3, 400, 600)
    assert item['data_samples'].reference.mean() > 3 * item['inputs'].mean()
