"""tools/train.py, test.py and compare.py as a user runs them, one after the other."""

import json
import runpy
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from sci_plugins.utils.checkpoint import read_checkpoint
from tests.host_models import TYPES
from tests.run_tool import run_tool, run_tool_process

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')

ROOT = Path(__file__).parents[2]
TINY = runpy.run_path(str(ROOT / 'tests' / 'data' / 'make_tiny.py'))
METRICS = dict(detection='coco/bbox_mAP', segmentation='mIoU')


@pytest.fixture(scope='module', autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Run(NamedTuple):
    """A user's plain config, and what training it left in ``work_dir``."""

    kind: str
    config: Path
    work_dir: Path


@pytest.fixture(scope='module', params=list(METRICS))
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp(request.param)
    config = TINY[f'write_{request.param}'](folder)
    assert 'sci_plugins' not in config.read_text()  # nothing of ours in it
    run = run_tool_process if request.param == 'detection' else run_tool  # one process is enough
    code, _, err = run('train', config, '--work-dir', folder / 'work')
    assert code == 0, err
    return Run(request.param, config, folder / 'work')


def _log(folder: Path) -> str:
    return max(folder.glob('*/*.log'), key=lambda path: path.name).read_text()


def test_training_leaves_a_checkpoint_and_a_log(trained: Run) -> None:
    state = read_checkpoint(trained.work_dir / 'iter_2.pth')
    assert state['meta']['iter'] == 2
    assert not any('enhancer' in key for key in state['state_dict'])
    assert 'loss: ' in _log(trained.work_dir)


def test_resuming_goes_on(trained: Run, tmp_path: Path) -> None:
    longer = ['--cfg-options', 'train_cfg.max_iters=3']
    for number, resume in enumerate([['--resume'], ['--resume', 'FILE']]):
        folder, source = tmp_path / str(number), trained.work_dir / 'iter_2.pth'
        folder.mkdir()
        if resume == ['--resume']:  # from the newest of a work dir that was copied
            shutil.copy(source, folder)
            (folder / 'last_checkpoint').write_text(str(source))
        resume = [source if word == 'FILE' else word for word in resume]
        code, _, err = run_tool('train', trained.config, '--work-dir', folder, *resume, *longer)
        assert code == 0, err
        content = read_checkpoint(folder / 'iter_3.pth')
        assert content['meta']['iter'] == 3
        steps = content['message_hub']['log_scalars']['train/loss']
        assert len(steps._log_history) == 3  # two of the first run, one of this


def test_testing_and_comparing_say_the_same(trained: Run, tmp_path: Path) -> None:
    checkpoint = TINY['write_checkpoint'](trained.config)
    common = [trained.config, checkpoint, '--cfg-options', 'randomness.seed=1']
    code, out, err = run_tool('test', *common, '--work-dir', tmp_path / 'test')
    assert code == 0, err
    assert out.endswith(f'metrics written to {tmp_path}/test/metrics.json\n')
    metrics = json.loads((tmp_path / 'test' / 'metrics.json').read_text())
    metric = METRICS[trained.kind]
    assert metrics[metric] > 0

    options = ['--variants', 'none', 'gamma/0.4', '--darken', 'none', '0.05:0.01']
    folder = ['--work-dir', tmp_path / 'compare', '--pictures', '2']
    code, out, err = run_tool('compare', *common, *options, *folder)
    assert code == 0, err
    content = json.loads((tmp_path / 'compare' / 'comparison.json').read_text())
    values = [result['metrics'][metric] for result in content['results']]
    assert len(values) == 4
    assert values[0] == metrics[metric]
    assert len(set(values)) > 1
    assert (tmp_path / 'compare' / 'comparison.md').read_text().strip() in out
    pictures = sorted((tmp_path / 'compare' / 'pictures').glob('*/*.jpg'))
    assert len(pictures) == 4

    before = (tmp_path / 'compare' / 'comparison.json').read_bytes()
    code, _, err = run_tool('compare', *common, *options, *folder, '--resume')
    assert code == 0, err
    assert 'batch/s' not in err  # nothing was measured anew
    assert (tmp_path / 'compare' / 'comparison.json').read_bytes() == before


def test_the_two_keys_from_the_command_line(trained: Run, tmp_path: Path) -> None:
    host = dict(detection='mmdet', segmentation='mmseg')[trained.kind]
    checkpoint = TINY['write_checkpoint'](trained.config)
    keys = [
        f'model.data_preprocessor.type={TYPES[host]}',
        'model.data_preprocessor.enhancer=gamma/0.4',
    ]
    common = [trained.config, checkpoint, '--work-dir']
    code, _, err = run_tool('test', *common, tmp_path / 'test', '--cfg-options', *keys)
    assert code == 0, err
    metrics = json.loads((tmp_path / 'test' / 'metrics.json').read_text())
    options = ['--variants', 'config', 'none', 'gamma/0.4', '--pictures', '0']
    run = run_tool_process if host == 'mmseg' else run_tool
    code, _, err = run('compare', *common, tmp_path / 'compare', *options, '--cfg-options', *keys)
    assert code == 0, err
    content = json.loads((tmp_path / 'compare' / 'comparison.json').read_text())
    config, none, gamma = (result['metrics'] for result in content['results'])
    assert config == gamma != none
    assert config[METRICS[trained.kind]] == metrics[METRICS[trained.kind]]
