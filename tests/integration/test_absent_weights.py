"""Weights to start from that cannot be had: what the tool says."""

import runpy
from pathlib import Path

import pytest

from tests.run_tool import run_tool

pytest.importorskip('mmdet')

TINY = runpy.run_path(str(Path(__file__).parents[1] / 'data' / 'make_tiny.py'))
NOWHERE = 'http://nowhere.invalid/resnet.pth'
BACKBONE = 'model.backbone.init_cfg'


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    monkeypatch.setenv('no_proxy', '*')
    return TINY['write_detection'](tmp_path / 'set')


def _train(config: Path, *options: str) -> tuple[int, str]:
    work_dir = config.parent / 'work'
    code, out, err = run_tool('train', config, '--work-dir', work_dir, '--cfg-options', *options)
    assert 'Traceback' not in out + err
    return code, (err.strip().splitlines() or [''])[-1]


@pytest.mark.parametrize('name', [NOWHERE, 'missing/resnet.pth', 'torchvision://resnet9'])
def test_of_a_backbone(config: Path, name: str) -> None:
    code, line = _train(config, f'{BACKBONE}.type=Pretrained', f'{BACKBONE}.checkpoint={name}')
    assert code == 2
    assert line.startswith('error: ')
    assert name in line
    assert line.endswith(
        f'; give a file by --cfg-options {BACKBONE}.checkpoint=FILE, or none by {BACKBONE}=None'
    )


@pytest.mark.parametrize('name', [NOWHERE, 'work_dirs/day/epoch_12.pth'])
def test_of_a_whole_network(config: Path, name: str) -> None:
    code, line = _train(config, f'load_from={name}')
    assert code == 2
    assert name in line
    assert line.endswith('--cfg-options load_from=FILE, or none by load_from=None')


def test_none_as_the_line_says(config: Path) -> None:
    start = dict(type='Pretrained', checkpoint=NOWHERE)
    config.write_text(f"{config.read_text()}model['backbone']['init_cfg'] = {start}\n")
    assert _train(config, 'log_level=ERROR')[0] == 2
    code, _ = _train(config, f'{BACKBONE}=None', 'train_cfg.max_iters=1')
    assert code == 0


def test_a_resumed_run_names_its_own_file(config: Path) -> None:
    code, _, err = run_tool(
        'train', config, '--work-dir', config.parent / 'work', '--resume', 'gone.pth'
    )
    assert code == 2
    assert err.strip().splitlines()[-1] == 'error: checkpoint not found: gone.pth'
