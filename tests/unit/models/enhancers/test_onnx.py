"""An enhancer in an ONNX file: what it must take and give."""

import copy
from pathlib import Path

import pytest
import torch

from sci_plugins.apis.enhance_files import enhancer_fingerprint
from sci_plugins.errors import CheckpointError, ConfigError
from sci_plugins.models.enhancers import OnnxEnhancer, build_enhancer
from tests.unit.models.enhancers.onnx_files import write_gain


def test_runs_the_file_and_clamps(tmp_path: Path) -> None:
    path = write_gain(tmp_path / 'three.onnx', 3.0)
    images = torch.rand(2, 3, 5, 7)
    for enhancer in (OnnxEnhancer(str(path)), build_enhancer(f'onnx/{path}')):
        torch.testing.assert_close(enhancer(images), (3 * images).clamp(0, 1))
        assert enhancer(images[:0]).shape == (0, 3, 5, 7)
    assert copy.deepcopy(enhancer)(images).equal(enhancer(images))


def test_another_file_is_another_enhancer(tmp_path: Path) -> None:
    path = tmp_path / 'file.onnx'
    marks = [
        enhancer_fingerprint(OnnxEnhancer(str(write_gain(path, gain)))) for gain in (2.0, 2.0, 3.0)
    ]
    assert marks[0] == marks[1] != marks[2]


@pytest.mark.parametrize('shape', [('n', 1, 'h', 'w'), ('n', 'h', 'w')])
def test_other_inputs_are_refused(tmp_path: Path, shape: tuple[int | str, ...]) -> None:
    path = write_gain(tmp_path / 'grey.onnx', 3.0, shape)
    with pytest.raises(CheckpointError, match=r'expected an input of shape \(N, 3, H, W\), got'):
        OnnxEnhancer(str(path))


def test_other_outputs_are_refused(tmp_path: Path) -> None:
    path = write_gain(tmp_path / 'turned.onnx', operation='Transpose')
    wanted = r'expected an output of shape \(1, 3, 5, 7\), got \(7, 5, 3, 1\)'
    with pytest.raises(CheckpointError, match=wanted):
        OnnxEnhancer(str(path))(torch.rand(1, 3, 5, 7))


def test_nan_is_refused(tmp_path: Path) -> None:
    path = write_gain(tmp_path / 'nan.onnx', float('nan'))
    with pytest.raises(CheckpointError, match='the output holds NaN or infinite values'):
        OnnxEnhancer(str(path))(torch.rand(1, 3, 5, 7))


def test_another_size_than_the_file_s_is_refused(tmp_path: Path) -> None:
    path = write_gain(tmp_path / 'fixed.onnx', 3.0, (1, 3, 8, 8))
    enhancer = OnnxEnhancer(str(path))
    assert enhancer(torch.rand(2, 3, 8, 8)).shape == (2, 3, 8, 8)
    with pytest.raises(ConfigError, match=r'accepts only batches of shape \(1, 3, 8, 8\)'):
        enhancer(torch.rand(1, 3, 8, 9))
