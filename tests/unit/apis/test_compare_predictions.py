"""Predictions of any framework, judged as the comparison judges its own."""

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sci_plugins.apis.compare import compare
from sci_plugins.apis.compare_predictions import compare_predictions
from sci_plugins.apis.config import load_config
from sci_plugins.apis.evaluate_segmentation import evaluate_segmentation
from sci_plugins.errors import ConfigError, DataError
from sci_plugins.evaluation.comparison import read_comparison
from sci_plugins.evaluation.records import ImageRecords
from tests.plain_segmentation import random_labels
from tests.run_tool import run_tool_process

TINY = runpy.run_path(str(Path(__file__).parents[2] / 'data' / 'make_tiny.py'))
NAMES = ('none', 'gamma')


@pytest.fixture(scope='module')
def faces(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A comparison of ours, and its detections as another framework would write them."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp('det')
    config = TINY['write_detection'](folder)
    source = load_config(str(config)), str(TINY['write_checkpoint'](config))
    ours = compare(*source, NAMES, work_dir=folder / 'work', pictures=0, changed=0)
    truth = next(folder.rglob('coco.json'))
    content = json.loads(truth.read_text())
    ids = {Path(each['file_name']).stem: each['id'] for each in content['images']}
    for name in NAMES:
        found = []
        records = ImageRecords.load(folder / f'work/records/as-is/{name}.npz')
        for image in records.images:
            for x1, y1, x2, y2, score in image.predictions.tolist():
                box = [x1, y1, x2 - x1, y2 - y1]
                category = content['categories'][0]['id']
                key = ids[Path(image.img_id).name]
                found.append(dict(image_id=key, category_id=category, bbox=box, score=score))
        found.reverse()  # the order of a result file is its framework's
        (folder / f'{name}.json').write_text(json.dumps(found))
    return ours, truth, {name: folder / f'{name}.json' for name in NAMES}


def test_detections_have_the_numbers_of_the_comparison(faces: Any, tmp_path: Path) -> None:
    ours, truth, files = faces
    images = truth.parent / 'images'
    settings: dict[str, Any] = dict(work_dir=tmp_path, metric='COCO_AP', images=images)
    found = compare_predictions(truth, files, **settings)
    wanted, analysis = ours.results[1].analysis, found.results[1].analysis
    assert wanted.values['COCO_AP'][0] > 0
    for name, pair in wanted.values.items():
        np.testing.assert_allclose(analysis.values[name], pair, atol=1e-9)
        ends = [
            (each.low, each.high) for each in (analysis.intervals[name], wanted.intervals[name])
        ]
        np.testing.assert_allclose(*ends, atol=1e-9)
    for own, other in zip(wanted.groups['brightness'], analysis.groups['brightness'], strict=True):
        assert (own.images, own.value) == pytest.approx((other.images, other.value))
    assert read_comparison(tmp_path / 'comparison.json').variants == ['none', 'gamma']
    for name in NAMES:
        assert len(ImageRecords.load(tmp_path / f'records/as-is/{name}.npz').ids) == 3
    page = (tmp_path / 'report.html').read_text()
    assert 'COCO_AP50' in page
    assert analysis.main.verdict in (tmp_path / 'comparison.md').read_text()


def test_masks_too(faces: Any, tmp_path: Path) -> None:
    """Masks that fill their boxes have the boxes' numbers; those in a file without boxes too."""

    def fill(box: list[float]) -> list[list[float]]:
        x, y, width, height = box
        return [[x, y, x + width, y, x + width, y + height, x, y + height]]

    _, path, files = faces
    truth = json.loads(path.read_text())
    for each in truth['annotations']:
        each['bbox'] = [float(round(number)) for number in each['bbox']]
        each['segmentation'] = fill(each['bbox'])
    (tmp_path / 'coco.json').write_text(json.dumps(truth))
    found = json.loads(files['none'].read_text())
    height, width = truth['images'][0]['height'], truth['images'][0]['width']
    for place, each in enumerate(found):
        x, y, w, h = (round(number) for number in each.pop('bbox'))
        x, y = min(max(x, 0), width - 2), min(max(y, 0), height - 2)
        box = [x, y, max(min(w, width - x), 1), max(min(h, height - y), 1)]
        each['segmentation'] = fill([float(number) for number in box])
        if place % 2:
            each['bbox'] = box
    (tmp_path / 'masks.json').write_text(json.dumps(found))
    predictions = dict(raw=tmp_path / 'masks.json', same=tmp_path / 'masks.json')
    result = compare_predictions(
        tmp_path / 'coco.json', predictions, work_dir=tmp_path / 'work', report=False
    )
    values = result.results[1].analysis.values
    assert values['COCO_mask_AP'][0] == pytest.approx(values['COCO_AP'][0], abs=1e-9)
    assert values['COCO_AP'][0] > 0
    found[0]['segmentation'] = [[1, 'x']]
    (tmp_path / 'masks.json').write_text(json.dumps(found))
    with pytest.raises(
        DataError, match=r'masks.json: \[0\].segmentation\[0\]: expected a list of n'
    ):
        compare_predictions(tmp_path / 'coco.json', predictions, work_dir=tmp_path / 'work')


def test_label_maps_as_a_user_runs_it(tmp_path: Path, rng: np.random.Generator) -> None:
    for index, (found, truth) in enumerate(random_labels(rng, 4, 12)):
        right = np.where(rng.random(truth.shape) < 0.5, truth, found)
        for place, labels in (('gt', truth), ('raw', found), ('sci', right)):
            path = tmp_path / place / f'{index}.png'
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(labels).save(path)
    code, out, errors = run_tool_process(
        'compare_predictions',
        *(f'raw={tmp_path}/raw', f'sci={tmp_path}/sci', '--gt', tmp_path / 'gt'),
        *('--num-classes', 4, '--work-dir', tmp_path / 'work', '--resamples', 50, '--no-report'),
    )
    assert code == 0, errors
    assert 'sci: helps; mIoU' in out
    result = read_comparison(tmp_path / 'work/comparison.json').results[1]
    for name, value in zip(('raw', 'sci'), result.analysis.values['mIoU'], strict=True):
        alone = evaluate_segmentation(tmp_path / name, tmp_path / 'gt', 4)
        assert value == pytest.approx(alone.numbers['mIoU'], abs=1e-9)
    assert not (tmp_path / 'work/report.html').exists()


@pytest.mark.parametrize(
    ('entry', 'settings', 'word'),
    [
        (dict(image_id=99), {}, r'bad.json: \[0\].image_id: 99 is not in .*coco.json'),
        (dict(category_id='x'), {}, r"bad.json: \[0\].category_id: 'x' is not in"),
        (dict(bbox=[1, 2, 3]), {}, r'\[0\].bbox: expected a list of 4 or null, got a list of 3'),
        (dict(score=float('nan')), {}, r'\[0\].score: expected a number from'),
        ({}, dict(base='sci'), "base must be one of raw, got 'sci'"),
        ({}, dict(metric='mIoU'), "there is no metric 'mIoU'; there are VOC_AP50_area"),
        ({}, dict(num_classes=3), 'num_classes is for folders'),
        ({}, dict(resample='frames'), '--resample must be'),
    ],
)
def test_what_does_not_fit(
    faces: Any, tmp_path: Path, entry: dict, settings: dict, word: str
) -> None:
    content = json.loads(faces[2]['none'].read_text())[:1]
    (tmp_path / 'bad.json').write_text(json.dumps([content[0] | entry]))
    with pytest.raises((ConfigError, DataError), match=word) as caught:
        compare_predictions(
            faces[1], dict(raw=tmp_path / 'bad.json'), work_dir=tmp_path / 'work', **settings
        )
    assert '\n' not in str(caught.value)
    assert not (tmp_path / 'work').exists()


def test_files_that_are_not_there(faces: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'no\.json: there is no such file of detections'):
        compare_predictions(faces[1], dict(raw='no.json'), work_dir=tmp_path)
    with pytest.raises(DataError, match=r'no\.json: there is no such file or folder'):
        compare_predictions('no.json', faces[2], work_dir=tmp_path)
    with pytest.raises(ConfigError, match='label maps need the number of classes'):
        compare_predictions(tmp_path, dict(raw=tmp_path), work_dir=tmp_path / 'work')
