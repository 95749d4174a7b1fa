"""The evaluation of label maps as a user runs it."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from tests.run_tool import run_tool_process


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
    assert 'neither there nor predicted: 2' in out
    content = json.loads((tmp_path / 'new/result.json').read_text())
    assert content == {'mIoU': 77.5, 'IoU/0': 75, 'IoU/1': 80, 'IoU/2': None}
