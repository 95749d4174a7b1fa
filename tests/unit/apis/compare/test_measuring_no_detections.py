import math

import numpy as np
import pytest

from sci_plugins.apis.compare.measuring import metrics_of_no_detections

pytest.importorskip('mmdet')


def coco(**options):
    from mmdet.evaluation.metrics import CocoMetric

    metric = CocoMetric(**options)
    metric.dataset_meta = dict(classes=('face',))
    return metric


def evaluate(metric, boxes):
    """One image with one face; ``boxes`` are the detections."""
    truth = dict(
        img_id=1,
        ori_shape=(40, 40),
        width=40,
        height=40,
        instances=[dict(bbox=[2, 2, 12, 12], bbox_label=0, ignore_flag=0)],
    )
    import torch

    predicted = dict(
        bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        scores=torch.ones(len(boxes)),
        labels=torch.zeros(len(boxes), dtype=torch.long),
    )
    metric.process({}, [dict(truth, pred_instances=predicted)])
    return metric.evaluate(size=1)


def test_the_keys_are_those_of_a_set_with_detections() -> None:
    """mmdet itself is asked: nothing found gives nothing, a miss gives zeros."""
    assert evaluate(coco(metric='bbox'), []) == {}
    missed = evaluate(coco(metric='bbox'), [[20, 20, 30, 30]])
    found = metrics_of_no_detections([coco(metric='bbox')])
    wanted = {k: v for k, v in missed.items() if not isinstance(v, str)}
    assert list(found) == list(wanted)
    for key in ('coco/bbox_mAP', 'coco/bbox_mAP_50', 'coco/bbox_mAP_75'):
        assert found[key] == wanted[key] == 0
    assert np.isnan(found['coco/bbox_mAP_s'])


def test_settings_of_the_metric_are_kept() -> None:
    found = metrics_of_no_detections(
        [coco(metric=['bbox', 'proposal'], metric_items=['mAP_50'], prefix='dark')]
    )
    assert found == {'dark/bbox_mAP_50': 0.0}
    assert not any(map(math.isnan, found.values()))


def test_other_metrics_add_nothing() -> None:
    formats = coco(metric='bbox', format_only=True, outfile_prefix='results')
    assert metrics_of_no_detections([object(), formats]) == {}
