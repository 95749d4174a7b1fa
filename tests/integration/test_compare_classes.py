"""tools/compare.py on a detector of five of ExDark's classes, three of them there."""

import json
import math
import runpy
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from tests.run_tool import run_tool

pytest.importorskip('mmdet')
pytest.importorskip('pycocotools')

TINY = runpy.run_path(str(Path(__file__).parents[1] / 'data' / 'make_tiny.py'))
THERE = ('Boat', 'Car', 'Table')
CONFIG = """
_base_ = 'tiny_detector.py'
classwise = dict(_delete_=True, type='CocoMetric', metric='bbox', classwise=True)
dataset = dict(
    _delete_=True,
    type='sci_plugins.ExDarkDataset',
    data_root='{root}',
    metainfo=dict(classes=('Boat', 'Bottle', 'Car', 'Dog', 'Table')),
    test_mode=True,
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=(64, 48), keep_ratio=True),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(
            type='PackDetInputs',
            meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                       'scale_factor', 'instances'))
    ])
test_dataloader = dict(dataset=dataset)
test_evaluator = classwise
model = dict(bbox_head=dict(num_classes=5), test_cfg=dict(max_per_img=400))
"""


class Run(NamedTuple):
    """What a comparison left, and its results by condition and variant."""

    folder: Path
    results: dict[tuple[str, str], dict[str, Any]]


def _write_exdark(folder: Path) -> Path:
    """The tiny detector's images in ExDark's layout, their boxes of three classes."""
    TINY['write_detection'](folder)
    coco = json.loads((folder / 'coco.json').read_text())
    for image, main in zip(coco['images'], THERE, strict=True):
        lines = ['% bbGt version=3']
        for found in coco['annotations']:
            if found['image_id'] == image['id']:
                box = ' '.join(map(str, found['bbox']))
                lines.append(f'{THERE[found["id"] % 3]} {box} 0 0 0 0 0 0 0')
        for part in ('ExDark', 'ExDark_Annno'):
            (folder / part / main).mkdir(parents=True)
        name = image['file_name']
        shutil.copy(folder / 'images' / name, folder / 'ExDark' / main / name)
        text = '\n'.join(lines) + '\n'
        (folder / 'ExDark_Annno' / main / f'{name}.txt').write_text(text)
    config = folder / 'exdark.py'
    config.write_text(CONFIG.format(root=folder))
    return config


@pytest.fixture(scope='module')
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp('exdark')
    config = _write_exdark(folder)
    checkpoint, work_dir = TINY['write_checkpoint'](config), folder / 'work'
    code, _, err = run_tool(
        'compare',
        config,
        checkpoint,
        *('--variants', 'none', 'gamma/0.3'),
        *('--models', f'again={config},{checkpoint}'),
        *('--darken', 'none', '0.05', '--metric', 'bbox_mAP'),
        *('--resample', 'blocks:1', '--resamples', 20, '--changed', 1, '--pictures', 1),
        *('--work-dir', work_dir),
    )
    assert code == 0, err
    content = json.loads((work_dir / 'comparison.json').read_text())
    yield Run(work_dir, {(r['condition']['name'], r['variant']): r for r in content['results']})
    torch.set_num_threads(before)


def test_every_number_is_the_evaluator_s(run: Run) -> None:
    """The host's classwise numbers are AP, those of the records AP50."""
    assert len(run.results) == 6
    for (_, variant), result in run.results.items():
        if variant == 'none':
            assert result['analysis'] is None
            continue
        values, host = result['analysis']['values'], result['metrics']
        of_class = [values[f'COCO_AP50/{name}'][1] for name in THERE]
        assert values['COCO_AP50'][1] == pytest.approx(sum(of_class) / 3)
        assert values['COCO_AP50'][1] == pytest.approx(host['coco/bbox_mAP_50'], abs=6e-4)
        assert values['COCO_AP'][1] == pytest.approx(host['coco/bbox_mAP'], abs=6e-4)
        for name in THERE:
            assert host[f'coco/{name}_precision'] > 0
        assert host['coco/Dog_precision'] is None
        assert values['COCO_AP50/Dog'] == [None, None]


def test_classes_differ_and_a_model_does_not_differ_from_itself(run: Run) -> None:
    found = run.results['as is', 'gamma/0.3']['analysis']
    deltas = {found['intervals'][f'COCO_AP50/{name}']['delta'] for name in THERE}
    assert len(deltas) == 3
    same = run.results['as is', 'again']['analysis']
    assert {
        (each['delta'], each['low'], each['high'])
        for each in same['intervals'].values()
        if each['delta'] is not None
    } == {(0.0, 0.0, 0.0)}
    assert found['metric'] == same['metric'] == 'COCO_AP'


def test_tables_name_the_classes_that_are_there(run: Run) -> None:
    text = (run.folder / 'comparison.md').read_text()
    assert text.startswith('# Does it help? exdark.py')
    (row,) = [line for line in text.splitlines() if line.startswith('| as is |')]
    assert '| gamma/0.3 | again |' in text
    value = run.results['as is', 'none']['metrics']['coco/bbox_mAP']
    assert math.isclose(float(row.split('|')[2]), 100 * value, abs_tol=0.06)
    for name in THERE:
        assert text.count(f'\n| {name} |') == 2
    assert '| Dog |' not in text
    assert text.count('Not in these images: Bottle and Dog.') == 2
    assert 'means over the classes that are in the images' in text
    hosts = [line for line in text.splitlines() if line.startswith('| coco/bbox_mAP')]
    assert sum(' to ' in line for line in hosts) == 6  # AP, AP50 and AP75, twice


def test_the_report_has_the_classes(run: Run) -> None:
    page = (run.folder / 'report.html').read_text()
    assert 'COCO_AP50 by class' in page
    assert 'Not in these images: Bottle and Dog.' in page
    for name in THERE:
        assert f'<th scope="row">{name}</th>' in page
    assert '<th scope="row">Dog</th>' not in page
    assert 'all classes pooled' in page
    assert 'colours in the pictures' in page
    assert 'by size of the objects' not in page  # of several classes there are none
    assert page.count('data:image/jpeg;base64,') >= 2
