"""DARK FACE's data fragments and metric in MMEngine's runner, as a config has them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, DefaultScope
from mmengine.runner import Runner
from mmengine.structures import InstanceData

from sci_plugins.apis.evaluate_darkface import evaluate_submission
from sci_plugins.datasets.darkface import SPLITS
from sci_plugins.evaluation.detection_records import DarkFaceRecords, load_detections
from sci_plugins.evaluation.metrics.darkface import name_for_host
from sci_plugins.utils.images import write_image
from tests.data.make_tiny import write_checkpoint, write_detection

pytest.importorskip('mmdet')
pytest.importorskip('pycocotools')
BASE = Path(__file__).resolve().parents[2] / 'configs/_base_'
FRAGMENTS = sorted(BASE.glob('darkface*.py'))


class _FindsMost(BaseModel):
    """Gives back the packed truth, in original pixels, but leaves out the last face."""

    def forward(self, inputs: Any, data_samples: list, mode: str = 'tensor') -> list:
        for sample in data_samples:
            boxes = torch.tensor([face['bbox'] for face in sample.instances]).view(-1, 4)
            sample.pred_instances = InstanceData(
                bboxes=boxes[:-1],
                scores=torch.linspace(0.9, 0.1, len(boxes))[:-1],
                labels=torch.zeros(max(0, len(boxes) - 1), dtype=torch.long),
            )
        return data_samples


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / 'image').mkdir()
    (tmp_path / 'label').mkdir()
    for name, faces in (('2', 3), ('10', 2), ('7', 0)):
        write_image(tmp_path / f'image/{name}.png', np.zeros((72, 108, 3), np.uint8))
        boxes = [f'{9 * n} 5 {9 * n + 7.3} 14' for n in range(faces)]
        text = '\n'.join([str(faces), *boxes])
        (tmp_path / f'label/{name}.txt').write_text(text)
    return tmp_path


def _load(fragment: Path, root: Path) -> Config:
    """The fragment on three images instead of its split, without worker processes."""
    cfg = Config.fromfile(fragment)
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        loader.dataset.update(data_root=str(root), split=None)
        loader.update(num_workers=0, persistent_workers=False)
    return cfg


def test_the_guide_names_every_number_and_every_split() -> None:
    guide = (BASE.parents[1] / 'docs/dark_face.md').read_text()
    for name in name_for_host(DarkFaceRecords.definitions):
        assert f'`darkface/{name}`' in guide
    for name, split in SPLITS.items():
        assert f'`{name}`' in guide
        assert f'{split.faces_2019:,}' in guide
    for fragment in FRAGMENTS:
        assert f'configs/_base_/{fragment.name}' in guide


def test_there_are_fragments() -> None:
    assert len(FRAGMENTS) == 2


@pytest.mark.parametrize('fragment', FRAGMENTS, ids=lambda path: path.stem)
def test_a_fragment_in_the_runner(fragment: Path, root: Path) -> None:
    """Whatever size the pipeline makes of the images, truth is in original pixels."""
    cfg = _load(fragment, root)
    cfg.test_evaluator.submission_dir = str(root / 'found')
    with DefaultScope.overwrite_default_scope('mmdet'):
        runner = Runner(
            model=_FindsMost(),
            work_dir=str(root / 'work'),
            test_dataloader=cfg.test_dataloader,
            test_evaluator=cfg.test_evaluator,
            test_cfg=dict(type='TestLoop'),
            log_level='WARNING',
            default_scope='mmdet',
            experiment_name=f'darkface_{fragment.stem}',
        )
        numbers = runner.test()
    assert numbers['darkface/AP'] == pytest.approx(3 / 5)
    assert numbers['darkface/COCO_AP50'] == pytest.approx(61 / 101)
    again = evaluate_submission(root / 'found', root, strict=True)
    for name, value in again.numbers.items():
        np.testing.assert_equal(numbers[name], value)


@pytest.mark.parametrize('fragment', FRAGMENTS, ids=lambda path: path.stem)
def test_a_fragment_trains_on_its_own_split(fragment: Path, root: Path) -> None:
    raw = Config.fromfile(fragment)
    train, test = raw.train_dataloader.dataset.split, raw.test_dataloader.dataset.split
    assert SPLITS[train].held_out == SPLITS[test].held_out
    assert not SPLITS[train].is_held_out
    assert SPLITS[test].is_held_out
    assert raw.val_dataloader == raw.test_dataloader
    with DefaultScope.overwrite_default_scope('mmdet'):
        dataset = DATASETS.build(_load(fragment, root).train_dataloader.dataset)
        sample = dataset[0]
    assert len(dataset) == 2  # the image without faces is left out
    assert max(sample['inputs'].shape[1:]) in (1080, 1500)
    assert len(sample['data_samples'].gt_instances) == 3


def test_beside_cocos_metric_on_a_real_detector(tmp_path: Path) -> None:
    """mmdet's own evaluator agrees, on images that the pipeline has resized."""
    config = write_detection(tmp_path)
    checkpoint = write_checkpoint(config)
    cfg = Config.fromfile(config)
    cfg.test_dataloader.dataset.pipeline[-1].meta_keys += ('instances',)
    cfg.test_evaluator = [
        dict(type='CocoMetric', metric='bbox'),
        dict(type='sci_plugins.DarkFaceMetric', detections_file=f'{tmp_path}/found.npz'),
    ]
    cfg.update(work_dir=str(tmp_path / 'work'), load_from=str(checkpoint))
    numbers = Runner.from_cfg(cfg).test()
    assert numbers['coco/bbox_mAP_50'] > 0
    for coco, ours in (('bbox_mAP', 'COCO_AP'), ('bbox_mAP_50', 'COCO_AP50')):
        expected = pytest.approx(numbers[f'coco/{coco}'], abs=6e-4)
        assert numbers[f'darkface/{ours}'] == expected
    images = load_detections(tmp_path / 'found.npz')
    assert sum(len(image.predictions) for image in images) > 0
    assert numbers['darkface/AP'] == DarkFaceRecords(images).metrics()['DARKFACE_AP']
