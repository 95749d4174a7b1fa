"""ONNX files, run and refused."""

import copy
import os
import pickle
from pathlib import Path

import pytest
import torch

from sci_plugins import registry
from sci_plugins.errors import CheckpointError, ConfigError, MissingDependencyError
from sci_plugins.models.enhancers.onnx import OnnxNetwork
from tests.fork_server import run_python

_THREADS = """
import os
from sci_plugins.models.enhancers.onnx import import_onnxruntime
count = lambda: len(os.listdir('/proc/self/task'))
before = count()
import_onnxruntime()
print(count() - before)
"""


@pytest.mark.skipif(not Path('/proc/self/task').exists(), reason='no list of threads')
def test_no_thread_reports_home() -> None:
    environment = {key: value for key, value in os.environ.items() if 'TELEMETRY' not in key}
    done = run_python(['-c', _THREADS], environment)
    assert done.stdout.strip() == '0', done.stderr


@pytest.fixture(scope='module')
def open_sizes(shared_data: Path) -> OnnxNetwork:
    return OnnxNetwork(shared_data / 'data/yunet/yunet_n_dynamic.onnx', 'Detector')


def test_outputs_by_name(open_sizes: OnnxNetwork) -> None:
    outputs = open_sizes.run(torch.rand(2, 3, 32, 64) * 255)
    assert list(outputs) == open_sizes.output_names
    assert outputs['bbox_8'].shape == (2, 32, 4)
    assert outputs['bbox_8'].dtype == torch.float32


def test_any_layout_and_dtype(open_sizes: OnnxNetwork) -> None:
    batch = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    wanted = open_sizes.run(batch.float())
    channels_last = batch.double().contiguous(memory_format=torch.channels_last)
    for other in (batch, channels_last, batch.float().requires_grad_()):
        found = open_sizes.run(other)
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_copies_and_pickles(open_sizes: OnnxNetwork) -> None:
    batch = torch.rand(1, 3, 32, 32) * 255
    wanted = open_sizes.run(batch)['obj_8']
    for twin in (copy.deepcopy(open_sizes), pickle.loads(pickle.dumps(open_sizes))):
        assert torch.equal(twin.run(batch)['obj_8'], wanted)


def test_a_file_of_fixed_size_says_so(shared_data: Path) -> None:
    network = OnnxNetwork(shared_data / 'data/yunet/yunet_n_640_640.onnx', 'Detector')
    with pytest.raises(ConfigError) as caught:
        network.run(torch.rand(1, 3, 32, 64))
    message = str(caught.value)
    assert '(1, 3, 640, 640)' in message
    assert 'got (1, 3, 32, 64)' in message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        OnnxNetwork(tmp_path / 'none.onnx', 'Detector')
    assert f'Detector: there is no ONNX file {tmp_path}/none.onnx' in str(caught.value)


@pytest.mark.parametrize('content', [b'', b'no network at all', b'\x08\x07' * 40])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / 'damaged.onnx'
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        OnnxNetwork(path, 'Detector')
    assert f'{path} is damaged or not an ONNX file' in str(caught.value)
    assert '\n' not in str(caught.value)


def test_without_onnxruntime_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, 'find_spec', lambda _: None)
    with pytest.raises(MissingDependencyError) as caught:
        OnnxNetwork(tmp_path / 'none.onnx', 'Detector')
    message = str(caught.value)
    assert 'Detector needs the package onnxruntime' in message
    assert 'pip install "sci_plugins[onnx]"' in message
