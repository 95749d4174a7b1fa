"""YOLOX-nano with its published weights: a real detector, with the numbers of mmdet itself."""

import json
from pathlib import Path

import pytest

from tests.run_tool import run_tool

pytest.importorskip('mmdet')

CONFIG = Path(__file__).parents[2] / 'configs/coco/yolox-nano_published_coco-80.py'


@pytest.mark.slow
def test_the_published_numbers(shared_data: Path, tmp_path: Path) -> None:
    """AP 30.1, AP50 46.4 on its 80 images; the records have them too, as COCO counts."""
    checkpoint = shared_data / 'data/yolox_nano/yolox_nano_mmdet.pth'
    options = ['--variants', 'none', 'gated/gamma', '--pictures', 0, '--changed', 0, '--no-report']
    options += ['--resamples', 20, '--work-dir', tmp_path]
    code, _, err = run_tool('compare', CONFIG, checkpoint, *options)
    assert code == 0, err
    raw, other = json.loads((tmp_path / 'comparison.json').read_text())['results']
    host = raw['metrics']
    assert host['coco/bbox_mAP'] == 0.301
    assert host['coco/bbox_mAP_50'] == 0.464
    values = other['analysis']['values']
    assert values['COCO_AP'][0] == pytest.approx(0.301, abs=0.0011)
    assert values['COCO_AP50'][0] == pytest.approx(0.464, abs=0.0015)
