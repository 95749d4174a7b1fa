"""NightCity's ids become trainIds; NightCity-fine has them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sci_plugins.datasets.night_layouts import CITYSCAPES, IDS
from sci_plugins.errors import ConfigError, DataError
from sci_plugins.registry import DATASETS

pytest.importorskip('mmseg')

LOAD = [dict(type='mmseg.LoadImageFromFile'), dict(type='mmseg.LoadAnnotations')]


def _build(root: Path, **settings: Any) -> Any:
    cfg = dict(type='sci_plugins.NightCityDataset', data_root=str(root), split='val')
    return DATASETS.build(cfg | dict(pipeline=LOAD) | settings)


@pytest.mark.parametrize('release', ['original', 'fine'])
def test_train_ids_of_both_releases(tmp_path: Path, make: SimpleNamespace, release: str) -> None:
    dataset = _build(make.write_nightcity(tmp_path, release=release), release=release)
    assert len(dataset) == 2
    assert dataset.get_data_info(1)['clip'] == 'Chicago_0002'
    assert dataset.metainfo['release'] == release
    wanted = make.frame(31, 8, make.TRAIN_IDS)[1]
    np.testing.assert_array_equal(dataset[0]['gt_seg_map'], wanted)


def _write_all_ids(root: Path, make: SimpleNamespace) -> None:
    make.write_nightcity(root, numbers=[1])
    ids = np.arange(48, dtype=np.uint8).clip(max=33)
    ids[-1] = 255
    label = np.tile(ids, (24, 1))
    Image.fromarray(label).save(root / 'label/val/Chicago_0001_labelIds.png')


def test_every_id(tmp_path: Path, make: SimpleNamespace) -> None:
    _write_all_ids(tmp_path, make)
    row = _build(tmp_path)[0]['gt_seg_map'][0].tolist()
    assert row[:34] == [
        CITYSCAPES.index(IDS.classes[number]) if number in IDS.classes else 255
        for number in range(34)
    ]
    assert row[-1] == 255


def test_a_choice_of_classes(tmp_path: Path, make: SimpleNamespace) -> None:
    """sky (23) and road (7) alone, in this order."""
    _write_all_ids(tmp_path, make)
    row = _build(tmp_path, metainfo=dict(classes=('sky', 'road')))[0]['gt_seg_map'][0]
    assert {n: v for n, v in enumerate(row[:34].tolist()) if v != 255} == {7: 1, 23: 0}


def test_an_id_that_there_is_not(tmp_path: Path, make: SimpleNamespace) -> None:
    make.write_nightcity(tmp_path, numbers=[1])
    label = np.full((24, 48), 34, np.uint8)
    Image.fromarray(label).save(tmp_path / 'label/val/Chicago_0001_labelIds.png')
    with pytest.raises(DataError, match=r'Chicago_0001_labelIds\.png: expected classes .* got 34'):
        _build(tmp_path)[0]


def test_wrong_choices(tmp_path: Path, make: SimpleNamespace) -> None:
    make.write_nightcity(tmp_path)
    with pytest.raises(ConfigError, match=r"release must be one of .*; got 'plus'"):
        _build(tmp_path, release='plus')
    with pytest.raises(ConfigError, match=r"split must be .*train, val; got 'test'"):
        _build(tmp_path, split='test')
    with pytest.raises(DataError, match=r'Chicago_0001\.png: has no label map'):
        _build(tmp_path, release='fine')
