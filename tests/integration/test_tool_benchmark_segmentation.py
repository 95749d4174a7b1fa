"""Loader against network, at the command line."""

import json
from pathlib import Path

import pytest

from tests.run_tool import run_tool

pytest.importorskip('mmseg')

CONFIG = Path(__file__).parents[2] / 'configs/night/fast-scnn_w50_40e_camvid.py'


def test_segmentation_as_a_user_does(tmp_path: Path) -> None:
    out = tmp_path / 'segmentation.json'
    size = ('--height', 64, '--width', 96, '--threads', 1, '--runs', 1, '--steps', 1)
    code, text, errors = run_tool(
        'benchmark', 'segmentation', '--config', CONFIG, *size, '--json', out
    )
    assert code == 0, errors
    timings = json.loads(out.read_text())['timings']
    assert {'decode PNG', 'decode JPEG', 'test step, whole'} < set(timings)
    assert all(name in text for name in timings)


def test_a_folder_is_no_config(tmp_path: Path) -> None:
    code, _, errors = run_tool('benchmark', 'segmentation', '--config', tmp_path)
    assert code == 2
    assert errors == f'error: config not found: {tmp_path}\n'
