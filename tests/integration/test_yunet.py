"""YuNet's configs as a user runs them: compared without and with, on two images."""

import json
from pathlib import Path

import pytest

from tests.run_tool import run_tool

pytest.importorskip('mmdet')
pytest.importorskip('onnxruntime')

CONFIGS = sorted((Path(__file__).parents[2] / 'configs/darkface').glob('*_onnx_*.py'))
#: One is enough for every run of the tests.
QUICK = 'yunet-n_onnx_wider'


def test_there_are_configs() -> None:
    assert {path.stem for path in CONFIGS} >= {QUICK}


@pytest.mark.parametrize(
    'path',
    [pytest.param(path, marks=[] if path.stem == QUICK else pytest.mark.slow) for path in CONFIGS],
    ids=lambda path: path.stem,
)
def test_compared_on_two_images(path: Path, shared_data: Path, tmp_path: Path) -> None:
    code, _, err = run_tool(
        'compare', path, 'none', '--variants', 'none', 'gated/gamma', 'gamma/3',
        '--darken', 'none', '0.02', '--metric', 'bbox_mAP_50', '--work-dir', tmp_path,
        '--pictures', 0, '--cfg-options', 'test_dataloader.dataset.indices=2',
    )  # fmt: skip
    assert code == 0, err
    found = {
        (result['condition']['gain'], result['variant']): result['metrics']['coco/bbox_mAP_50']
        for result in json.loads((tmp_path / 'comparison.json').read_text())['results']
    }
    assert len(found) == 6
    assert all(0 <= value <= 1 for value in found.values() if value is not None)
    if path.stem == QUICK:  # by day the gate is shut, a wrong gamma costs
        assert found[None, 'none'] == found[None, 'gated/gamma'] > 0.2
        assert found[None, 'gamma/3'] < found[None, 'none']
        assert found[0.02, 'gated/gamma'] != found[0.02, 'none']
