"""The night sets' config fragments: what they name loads in the hosts' pipelines."""

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from PIL import Image

from sci_plugins.apis.config import load_config
from sci_plugins.errors import DataError
from sci_plugins.registry import DATASETS, METRICS

pytest.importorskip('mmseg')

ROOT = Path(__file__).parents[2]
BASE = ROOT / 'configs/_base_'
MAKE = ROOT / 'tests/data/make_night_sets.py'
#: Fragment -> (variable of its root, what writes the layout, images of the test set).
SETS = dict(
    acdc_night=('SCI_PLUGINS_ACDC', 'write_acdc', 3),
    dark_zurich=('SCI_PLUGINS_DARK_ZURICH', 'write_dark_zurich', 2),
    night_driving=('SCI_PLUGINS_NIGHT_DRIVING', 'write_night_driving', 2),
    nightcity=('SCI_PLUGINS_NIGHTCITY', 'write_nightcity', 2),
    bdd100k_night=('SCI_PLUGINS_BDD100K', 'write_bdd100k', 2),
)
TRAINED = ('acdc_night', 'nightcity', 'bdd100k_night')


def _load(name: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    variable, write, _ = SETS[name]
    make = runpy.run_path(str(MAKE))
    make[write](root)
    if name in TRAINED:
        make[write](root, split='train')
    monkeypatch.setenv(variable, str(root))
    cfg = load_config(str(BASE / f'{name}.py'))
    init_default_scope('mmseg')
    return cfg


@pytest.mark.parametrize('name', SETS)
def test_what_is_tested(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = _load(name, tmp_path, monkeypatch)
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    assert len(dataset) == SETS[name][2]
    sample = dataset[0]
    assert sample['inputs'].shape == (3, 24, 48)
    truth = sample['data_samples'].gt_sem_seg.data
    assert truth.shape == (1, 24, 48)
    assert set(truth.unique().tolist()) == {0, 1, 2, 5, 8, 10, 11, 13, 255}
    metric = METRICS.build(cfg.test_evaluator)
    metric.dataset_meta = dataset.metainfo
    perfect = sample['data_samples'].to_dict() | dict(pred_sem_seg=dict(data=truth))
    perfect['pred_sem_seg']['data'] = truth.where(truth != 255, 0)
    metric.process({}, [perfect])
    assert metric.evaluate(1)['mIoU'] == pytest.approx(100)


@pytest.mark.parametrize('name', TRAINED)
def test_what_is_trained_on(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = _load(name, tmp_path, monkeypatch)
    cfg.train_dataloader.dataset.pipeline[2].scale = (48, 24)
    cfg.train_dataloader.dataset.pipeline[3].crop_size = (16, 16)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    assert 'train' in dataset.get_data_info(0)['img_path']
    sample = dataset[0]
    height, width = sample['inputs'].shape[1:]
    assert height <= 16
    assert width == 16
    assert sample['data_samples'].gt_sem_seg.data.shape == (1, height, width)


@pytest.mark.parametrize('name', ['dark_zurich', 'night_driving'])
def test_bad_labels_of_the_hosts_own_sets_are_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = _load(name, tmp_path, monkeypatch)
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    path = dataset.get_data_info(0)['seg_map_path']
    Image.fromarray(np.full((24, 48), 33, np.uint8)).save(path)
    with pytest.raises(DataError, match=rf'{path}: expected classes .* got 33'):
        dataset[0]
