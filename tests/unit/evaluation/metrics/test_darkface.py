"""DarkFaceMetric as MMEngine drives it."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.multiprocessing
from mmengine.evaluator import Evaluator
from mmengine.registry import METRICS as ROOT_METRICS
from mmengine.registry import DefaultScope

from sci_plugins import registry
from sci_plugins.errors import ConfigError, DataError, MissingDependencyError
from sci_plugins.evaluation.detection_records import (
    DarkFaceRecords,
    ImageDetections,
    load_detections,
)
from sci_plugins.evaluation.metrics import DarkFaceMetric, darkface
from sci_plugins.evaluation.metrics.darkface import name_for_host, read_predictions
from tests.plain_darkface_ap import plain_official_ap, random_faces

pytest.importorskip('pycocotools')
META = dict(classes=('face',), annotation_version='2019', split='regdet_test')


def _sample(name: Any, found: np.ndarray, truth: np.ndarray, **changes: Any) -> dict:
    """One image as a detector's data sample, turned into a dict."""
    found = torch.from_numpy(found).float()
    predictions = dict(
        bboxes=found[:, :4], scores=found[:, 4], labels=torch.zeros(len(found), dtype=torch.long)
    )
    instances = [dict(bbox=box.tolist(), bbox_label=0, ignore_flag=0) for box in truth]
    sample = dict(img_id=name, instances=instances, pred_instances=predictions)
    return {**sample, **changes}


def _samples(seed: int = 0, count: int = 12) -> list[dict]:
    faces = zip(*random_faces(np.random.default_rng(seed), count, side=60), strict=True)
    return [_sample(number, *pair) for number, pair in enumerate(faces)]


def _evaluate(samples: list[dict], meta: dict | None = None, **settings: Any) -> dict:
    metric = DarkFaceMetric(**settings)
    evaluator = Evaluator(metric)
    evaluator.dataset_meta = META if meta is None else meta
    for start in range(0, len(samples), 5):
        evaluator.process(samples[start : start + 5])
    return evaluator.evaluate(len(samples))


@pytest.mark.parametrize('scope', ['mmengine', 'mmdet', 'mmseg'])
def test_it_is_registered(scope: str) -> None:
    with DefaultScope.overwrite_default_scope(scope):
        metric = ROOT_METRICS.build(dict(type='sci_plugins.DarkFaceMetric', coco=False))
    assert isinstance(metric, DarkFaceMetric)


def test_every_key_has_its_definition() -> None:
    numbers = _evaluate(_samples())
    names = {f'darkface/{name}' for name in name_for_host(DarkFaceRecords.definitions)}
    assert set(numbers) == names | {'darkface/annotation_version'}
    assert all(0 < numbers[name] < 1 for name in names)
    assert numbers['darkface/annotation_version'] == 2019


def test_ap_is_the_official_one() -> None:
    predictions, boxes = random_faces(np.random.default_rng(0), 12, side=60)
    rounded = [found.astype(np.float32).astype(float) for found in predictions]
    expected = plain_official_ap(rounded, boxes)
    assert _evaluate(_samples())['darkface/AP'] == pytest.approx(expected, abs=1e-12)


def test_batches_and_order_do_not_count() -> None:
    """Also equal scores: whatever process had which image, one order is evaluated."""
    predictions, boxes = random_faces(np.random.default_rng(0), 12, digits=1)
    faces = zip(predictions, boxes, strict=True)
    samples = [_sample(number, *pair) for number, pair in enumerate(faces)]
    np.testing.assert_equal(_evaluate(samples[::-1]), _evaluate(samples))


def test_without_coco() -> None:
    numbers = _evaluate(_samples(), coco=False)
    assert 'darkface/AP' in numbers
    assert not [name for name in numbers if 'COCO' in name]


def test_the_submission_gives_the_same_number(tmp_path: Path) -> None:
    samples = _samples()
    numbers = _evaluate(samples, submission_dir=str(tmp_path / 'out'))
    assert len(list((tmp_path / 'out').glob('*.txt'))) == len(samples)
    images = [
        ImageDetections(
            str(sample['img_id']),
            read_predictions(tmp_path / f'out/{sample["img_id"]}.txt')[0],
            np.array([face['bbox'] for face in sample['instances']]).reshape(-1, 4),
        )
        for sample in samples
    ]
    again = name_for_host(DarkFaceRecords(images).metrics())
    assert all(numbers[f'darkface/{name}'] == value for name, value in again.items())


def test_detections_are_kept(tmp_path: Path) -> None:
    path = tmp_path / 'found.npz'
    numbers = _evaluate(_samples(), detections_file=str(path), coco=False)
    again = DarkFaceRecords(load_detections(path), coco=False).metrics()
    assert again['DARKFACE_AP'] == numbers['darkface/AP']
    metric = DarkFaceMetric(coco=False)
    metric.process({}, _samples())
    metric.evaluate(12)
    assert metric.records is not None
    assert metric.records.ids == [str(number) for number in range(12)]


@pytest.mark.parametrize(
    ('meta', 'expected'),
    [
        (META, 2019.0),
        (dict(META, annotation_version='unknown'), math.nan),
        (dict(classes=('face',)), None),
    ],
)
def test_the_annotation_version(meta: dict, expected: float | None) -> None:
    numbers = _evaluate(_samples(), meta, coco=False)
    got = numbers.get('darkface/annotation_version')
    np.testing.assert_equal(got, expected)


def test_the_set_is_named_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr(darkface, 'print_log', lambda line, **_: lines.append(line))
    for meta in (META, dict(classes=('face',))):
        sample = _sample(1, np.zeros((0, 5)), np.array([[0.0, 0, 9, 9]] * 3))
        _evaluate([sample], meta, coco=False)
    assert lines == [
        '1 images, 3 faces, annotation version: 2019, split: regdet_test',
        '1 images, 3 faces',
    ]


def test_an_ignored_face_needs_not_be_found() -> None:
    found = np.array([[0.0, 0, 9, 9, 0.9]])
    truth = np.array([[0.0, 0, 9, 9], [50, 50, 59, 59]])
    sample = _sample(1, found, truth)
    assert _evaluate([sample])['darkface/AP'] == 0.5
    sample['instances'][1]['ignore_flag'] = 1
    assert _evaluate([sample])['darkface/AP'] == 1


def test_no_detection_at_all() -> None:
    numbers = _evaluate([_sample(1, np.zeros((0, 5)), np.array([[0.0, 0, 9, 9]]))])
    assert numbers['darkface/AP'] == numbers['darkface/COCO_AP'] == 0


def test_several_classes_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"evaluates one class, got \('a', 'b'\)"):
        _evaluate(_samples(), dict(classes=('a', 'b')))
    sample = _samples()[0]
    sample['pred_instances']['labels'][-1] = 3
    with pytest.raises(ConfigError, match='predicts label 3 in image 0'):
        _evaluate([sample])


@pytest.mark.parametrize('key', ['img_id', 'instances'])
def test_what_is_not_packed_is_named(key: str) -> None:
    sample = _samples()[0]
    del sample[key]
    with pytest.raises(ConfigError, match=f"needs '{key}' among the meta_keys"):
        _evaluate([sample])


def test_diverged_predictions_are_refused() -> None:
    found = np.array([[0, 0, math.nan, 9, 0.9]])
    with pytest.raises(DataError, match='image 5: predictions must be finite'):
        _evaluate([_sample(5, found, np.zeros((0, 4)))])


def test_a_duplicate_image_is_refused() -> None:
    with pytest.raises(DataError, match="duplicate image '0'"):
        _evaluate([_samples()[0]] * 2)


def test_without_pycocotools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, 'find_spec', lambda _: None)
    with pytest.raises(MissingDependencyError, match=r'coco=True.*sci_plugins\[det\]'):
        DarkFaceMetric()
    DarkFaceMetric(coco=False)


def _work(rank: int, folder: str, size: int) -> None:
    """One of two processes, which share the images as MMEngine's sampler does."""
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{folder}/meet', rank=rank, world_size=2
    )
    metric = DarkFaceMetric(coco=False, submission_dir=f'{folder}/submission')
    samples = _samples(count=size)
    # An odd number: the sampler gives the first image again to the second process.
    mine = [samples[index % size] for index in range(rank, size + size % 2, 2)]
    metric.process({}, mine)
    numbers = metric.evaluate(size)
    Path(folder, f'{rank}.txt').write_text(repr(numbers['darkface/AP']))
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_give_one_number(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_work, (str(tmp_path), 13), nprocs=2)
    expected = _evaluate(_samples(count=13), coco=False)['darkface/AP']
    assert [float((tmp_path / f'{rank}.txt').read_text()) for rank in (0, 1)] == ([expected] * 2)
    assert len(list((tmp_path / 'submission').glob('*.txt'))) == 13
