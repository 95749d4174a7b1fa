"""The evaluation of label maps as a user runs it."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sci_plugins.evaluation.segmentation_records import SegmentationRecords
from tests.plain_segmentation import random_labels
from tests.run_tool import run_tool, run_tool_process

Folders = tuple[Path, Path]


@pytest.fixture
def folders(tmp_path: Path, rng: np.random.Generator) -> Folders:
    """Two of three images are predicted."""
    for index, pair in enumerate(random_labels(rng, 4, 3)):
        for folder, labels in zip(('pred', 'gt'), pair, strict=True):
            path = tmp_path / folder / f'rec{index % 2}/{index}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(labels).save(path)
    (tmp_path / 'pred/rec1/1.png').unlink()
    return tmp_path / 'pred', tmp_path / 'gt'


def test_two_images(tmp_path: Path) -> None:
    for folder in ('pred', 'gt'):
        (tmp_path / folder).mkdir()
    truth = np.array([[0, 0, 1, 1]], np.uint8)
    for name, found in (('a', truth), ('b', np.array([[0, 1, 1, 1]], np.uint8))):
        Image.fromarray(truth).save(tmp_path / f'gt/{name}.png')
        Image.fromarray(found).save(tmp_path / f'pred/{name}.png')
    code, out, errors = run_tool_process(
        'evaluate_segmentation',
        *(tmp_path / 'pred', tmp_path / 'gt', '--num-classes', 3),
        *('--json', tmp_path / 'new/result.json'),
    )
    assert code == 0, errors
    assert 'neither present nor predicted: 2' in out
    content = json.loads((tmp_path / 'new/result.json').read_text())
    assert content.pop('written_by').startswith('Written by sci_plugins ')
    assert content.pop('protocol')['classes'] == '0, 1, 2'
    assert content == {'mIoU': 77.5, 'IoU/0': 75, 'IoU/1': 80, 'IoU/2': None}


def test_every_option(folders: Folders, tmp_path: Path) -> None:
    out = tmp_path / 'out'
    code, text, errors = run_tool(
        'evaluate_segmentation',
        *folders,
        *('--num-classes', 19, '--classes', 'cityscapes', '--subset', 5),
        *('--missing', 'wrong'),
        *('--json', out / 'result.json', '--records', out / 'records.npz'),
    )
    assert code == 0, errors
    assert 'warning: 1 of 3 images have no prediction' in errors
    assert 'mIoU ' in text
    content = json.loads((out / 'result.json').read_text())
    assert list(content) == [
        'written_by',
        'mIoU',
        'IoU/road',
        'IoU/fence',
        'IoU/traffic sign',
        'IoU/sky',
        'IoU/train',
        'protocol',
    ]
    records = SegmentationRecords.load(out / 'records.npz')
    assert records.metrics()['mIoU'] == content['mIoU']
    assert sorted(os.listdir(out)) == ['records.npz', 'result.json']


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        ((), r'error: \S+pred/rec1/1.png: no such prediction \(1 of 3 missing; '),
        (('--strict',), 'error: .*--strict'),
        (('--subset', '7'), 'error: classes must be 19, 15, 5 or a list of names, got 7'),
        (('--subset', 'bus'), "error: .*needs 'bus'"),
        (('--classes', 'a', 'b'), 'error: classes must be 5 different names'),
        (('--pred-suffix', '.jpg'), r'error: a suffix must end in .png'),
        (('--num-classes', '2', '--missing', 'wrong'), 'error: .* must hold ids 0 to 1'),
    ],
)
def test_mistakes(folders: Folders, options: tuple[str, ...], words: str) -> None:
    path = folders[0].parent / 'result.json'
    code, _, errors = run_tool(
        'evaluate_segmentation', *folders, '--num-classes', 5, '--json', path, *options
    )
    assert code == 2
    assert re.match(words, errors), errors
    assert errors.count('\n') == 1
    assert not path.exists()
