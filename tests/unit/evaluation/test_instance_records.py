"""Masks kept image by image, against mmdet's own metric and a real Mask R-CNN head."""

import json
import runpy
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from sci_plugins.apis.compare import compare
from sci_plugins.apis.config import load_config
from sci_plugins.errors import DataError
from sci_plugins.evaluation.comparison import agrees
from sci_plugins.evaluation.detection_records import ImageDetections
from sci_plugins.evaluation.instance_records import ImageMasks, InstanceRecords, code_of
from sci_plugins.evaluation.records import ImageRecords, ImageSet, RunInfo, find_kind

TINY = runpy.run_path(str(Path(__file__).parents[2] / 'data' / 'make_tiny.py'))
CLASSES = ('cat', 'dog')
SIDE = 40


def _draw(rng: np.random.Generator) -> np.ndarray:
    """A mask of ``(40, 40)``: a rectangle without a corner."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    x, y, width, height = (int(each) for each in rng.integers(4, 18, 4))
    rows, columns = np.mgrid[:height, :width]
    mask[y : y + height, x : x + width] = rows / height + columns / width < rng.uniform(0.6, 1.8)
    return mask


def _shift(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.roll(mask, rng.integers(-1, 2, 2), (0, 1))


def _box(mask: np.ndarray) -> list[float]:
    rows, columns = np.nonzero(mask)
    left, top, right, low = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return [float(each) for each in (left, top, right, low)]


class _Set:
    metainfo: ClassVar[dict] = dict(classes=CLASSES)

    def __init__(self, infos: list[dict]) -> None:
        self.infos = infos

    def __len__(self) -> int:
        return len(self.infos)

    def get_data_info(self, index: int) -> dict:
        return self.infos[index]


@pytest.fixture()
def measured(tmp_path: Path, rng: np.random.Generator) -> tuple[InstanceRecords, dict[str, float]]:
    """Records of random masks, and what mmdet's metric says of the same outputs."""
    pytest.importorskip('mmdet')
    from mmdet.evaluation import CocoMetric
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    infos, outputs, annotations = [], [], []
    for number in range(6):
        true = [_draw(rng) for _ in range(4)]
        labels = rng.integers(0, 2, 4)
        found = [_shift(mask, rng) for mask in (*true, true[0])] + [_draw(rng)]
        output = DetDataSample(metainfo=dict(img_id=number, ori_shape=(SIDE, SIDE)))
        output.pred_instances = InstanceData(
            bboxes=torch.tensor([_box(mask) for mask in found]),
            scores=torch.from_numpy(rng.random(6)),
            labels=torch.from_numpy(np.append(labels, rng.integers(0, 2, 2))),
            masks=torch.from_numpy(np.array(found)).bool(),
            mask_scores=torch.from_numpy(rng.random(6)),  # other than of the boxes
        )
        outputs.append(output)
        instances = []
        for place, (mask, label) in enumerate(zip(true, labels.tolist(), strict=True)):
            code = coco_mask.encode(np.asfortranarray(mask))
            code['counts'] = code['counts'].decode()
            crowd = int(place == 3)
            box = _box(mask)
            entry = dict(image_id=number, category_id=label, iscrowd=crowd, segmentation=code)
            entry['bbox'] = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            annotations.append(entry | dict(id=len(annotations) + 1, area=float(mask.sum())))
            instances.append(dict(bbox=box, bbox_label=label, ignore_flag=crowd, mask=code))
        info = dict(img_path=f'x/{number}.png', height=SIDE, width=SIDE, instances=instances)
        infos.append(info)
    content = dict(
        images=[dict(id=n, file_name=f'{n}.png', width=SIDE, height=SIDE) for n in range(6)],
        categories=[dict(id=n, name=name) for n, name in enumerate(CLASSES)],
        annotations=annotations,
    )
    (tmp_path / 'coco.json').write_text(json.dumps(content))
    metric = CocoMetric(ann_file=str(tmp_path / 'coco.json'), metric=['bbox', 'segm'])
    metric.dataset_meta = _Set.metainfo
    run = RunInfo(ImageSet(_Set(infos)))
    kind = find_kind(outputs[0], run)
    assert kind is InstanceRecords
    records = kind.collect([kind.keep(output, run) for output in outputs], run)
    metric.process({}, [output.to_dict() for output in outputs])
    return records, metric.evaluate(6)


def test_the_numbers_are_those_of_mmdet(measured: Any) -> None:
    records, host = measured
    numbers = records.metrics()
    for end, own in (('mAP', 'AP'), ('mAP_50', 'AP50'), ('mAP_75', 'AP75')):
        assert agrees(host[f'coco/segm_{end}'], numbers[f'COCO_mask_{own}'], own)
        assert agrees(host[f'coco/bbox_{end}'], numbers[f'COCO_{own}'], own)
    assert 0.05 < numbers['COCO_mask_AP'] < 0.95
    assert numbers['COCO_mask_AP'] != pytest.approx(numbers['COCO_AP'], abs=0.01)
    each = [numbers[f'COCO_mask_AP50/{name}'] for name in CLASSES]
    assert numbers['COCO_mask_AP50'] == pytest.approx(np.mean(each))


def test_resampled_and_from_a_file(measured: Any, tmp_path: Path) -> None:
    records, _ = measured
    records.save(tmp_path / 'records.npz')
    again = ImageRecords.load(tmp_path / 'records.npz')
    assert again.metrics() == records.metrics()
    weights = np.array([[2.0, 0, 1, 1, 0, 2]])
    twice = [0, 0, 2, 3, 5, 5]
    images = [
        ImageDetections(
            f'{place}', each.predictions, each.boxes, each.ignore, each.labels, each.true_labels
        )
        for place, each in enumerate(records.images[index] for index in twice)
    ]
    repeated = InstanceRecords(images, [records.masks[index] for index in twice], CLASSES)
    found = again.resampled(weights, ['COCO_mask_AP'])['COCO_mask_AP']
    assert found[0] == pytest.approx(repeated.metrics()['COCO_mask_AP'])


def test_masks_in_every_form() -> None:
    square = [[2.0, 1.0, 6.0, 1.0, 6.0, 5.0, 2.0, 5.0]]
    mask = coco_mask.decode(code_of(square, 8, 9))
    assert mask.shape == (8, 9)
    assert mask[1:5, 2:6].all()
    assert mask.sum() == 16
    flat = mask.ravel(order='F')
    changes = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *changes, len(flat)]).tolist()
    for form in (dict(size=[8, 9], counts=runs), code_of(square, 8, 9)):
        assert (coco_mask.decode(code_of(form, 8, 9)) == mask).all()


def test_a_mask_for_each_box() -> None:
    image = ImageDetections('a', np.zeros((1, 5)), np.zeros((0, 4)))
    with pytest.raises(DataError, match=r'image a: \(1, 1, 0\) boxes but \(1, 0, 0\) masks'):
        InstanceRecords([image], [ImageMasks(np.zeros(1), [], [])])


def test_a_mask_head_in_the_comparison(tmp_path: Path) -> None:
    """Real heads, random weights: intervals stand beside the host's own ``segm`` numbers."""
    pytest.importorskip('mmdet')
    torch.set_num_threads(1)
    TINY['write_detection'](tmp_path)
    path = next(tmp_path.rglob('coco.json'))
    content = json.loads(path.read_text())
    for each in content['annotations']:
        x, y, width, height = each['bbox']
        each['segmentation'] = [[x, y, x + width, y, x + width, y + height, x, y + height]]
    path.write_text(json.dumps(content))
    tiny = next(tmp_path.rglob('tiny_detector.py'))
    config = tiny.with_name('masks.py')
    config.write_text(
        f"_base_ = ['mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py']\n"
        f"root = '{path.parent}/'\n"
        'model = dict(\n'
        '    backbone=dict(init_cfg=None, depth=18, base_channels=8),\n'
        '    neck=dict(in_channels=[8, 16, 32, 64], out_channels=16),\n'
        '    rpn_head=dict(in_channels=16, feat_channels=16),\n'
        '    roi_head=dict(\n'
        '        bbox_roi_extractor=dict(out_channels=16),\n'
        '        mask_roi_extractor=dict(out_channels=16),\n'
        '        bbox_head=dict(in_channels=16, fc_out_channels=16, num_classes=1),\n'
        '        mask_head=dict(\n'
        '            num_convs=1, in_channels=16, conv_out_channels=16, num_classes=1)),\n'
        '    test_cfg=dict(rpn=dict(max_per_img=50), rcnn=dict(score_thr=0.0)))\n'
        "metainfo = dict(classes=('thing', ))\n"
        'test_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(\n'
        "    data_root=root, ann_file='coco.json', data_prefix=dict(img='images/'),\n"
        '    metainfo=metainfo))\n'
        "test_evaluator = dict(ann_file=root + 'coco.json')\n"
    )
    source = load_config(str(config)), str(TINY['write_checkpoint'](config))
    found = compare(
        *source, ['none', 'gamma'], work_dir=tmp_path / 'work', pictures=1, metric='segm_mAP'
    )
    raw, gamma = found.results
    assert gamma.analysis.metric == 'COCO_mask_AP'
    assert not gamma.difference
    value = gamma.analysis.values['COCO_mask_AP50'][0]
    assert agrees(raw.metrics['coco/segm_mAP_50'], value, 'COCO_mask_AP50')
    assert 'COCO_mask_AP' in (tmp_path / 'work/comparison.md').read_text()
