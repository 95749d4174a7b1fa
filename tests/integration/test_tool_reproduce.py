"""A published benchmark in one command, tried on generated sets in their native layouts."""

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope

from sci_plugins.apis.config import load_config
from sci_plugins.datasets.darkface import split_ids
from sci_plugins.evaluation.comparison import read_comparison
from sci_plugins.registry import scope_of
from sci_plugins.utils.images import write_image
from tests.run_tool import run_tool_process

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')

ROOT = Path(__file__).parents[2]
MAKE = runpy.run_path(str(ROOT / 'tests/data/make_night_sets.py'))
#: One process loads the data.
LOADERS = [
    f'{part}_dataloader.{key}'
    for part in ('train', 'val', 'test')
    for key in ('num_workers=0', 'persistent_workers=False')
]


def _weights(config: str, path: Path) -> Path:
    """Random weights of a config's network, as its authors' file would be."""
    from mmengine.registry import MODELS

    cfg = load_config(str(ROOT / 'configs/night' / config))
    init_default_scope(scope_of(cfg))
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), path)
    return path


def _use_official_weights(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('SCI_PLUGINS_WEIGHTS', str(data / 'data/sci_official/weights'))


@pytest.mark.slow
def test_a_set_without_labels_to_train(
    tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _use_official_weights(shared_data, monkeypatch)
    root = MAKE['write_dark_zurich'](tmp_path / 'set', step=2)
    config = 'segformer_mit-b0_160k_cityscapes-dark-zurich.py'
    start = _weights(config, tmp_path / 'start.pth')
    arguments: list[Any] = ['darkzurich', root, '--segmentor', 'segformer_mit-b0', '--skip-check']
    arguments += ['--work-dir', tmp_path / 'work', '--start', start]
    code, out, err = run_tool_process('reproduce', *arguments, '--dry-run')
    assert code == 0, err
    assert 'test and compare' in out
    assert 'train' not in out
    assert not (tmp_path / 'work').exists()
    code, out, err = run_tool_process('reproduce', *arguments, '--cfg-options', *LOADERS[-2:])
    assert code == 0, err
    found = read_comparison(tmp_path / 'work/compare/comparison.json')
    assert found.variants == ['none', 'sci/official/medium', 'gated/sci/official/medium']
    assert f'{found.results[0].metrics["mIoU"]:.2f}' in out
    assert '2 test images' in out
    assert (tmp_path / 'work/reproduce.txt').read_text().rpartition('Written')[0] in out + '\n'


@pytest.fixture()
def faces(tmp_path: Path) -> Path:
    """Two images each of the training and the test split of DARK FACE, two faces on each."""
    rng = np.random.default_rng(0)
    for split in ('regdet_train', 'regdet_test'):
        for name in list(split_ids(split))[:2]:
            image = rng.integers(0, 60, (720, 1080, 3), dtype=np.uint8)
            image[200:260, 300:350] += 90
            write_image(tmp_path / f'faces/image/{name}.png', image)
            label = tmp_path / f'faces/label/{name}.txt'
            label.parent.mkdir(exist_ok=True)
            label.write_text('2\n300 200 350 260\n600 400 660 460\n')
    return tmp_path / 'faces'


def test_the_dry_run_of_three_seeds(faces: Path, tmp_path: Path) -> None:
    work, start = tmp_path / 'work', tmp_path / 'day.pth'
    start.touch()
    done = work / 'sci-frozen/seed-1/epoch_12.pth'
    done.parent.mkdir(parents=True)
    done.touch()
    arguments = 'darkface', faces, '--detector', 's3fd_vgg16', '--work-dir', work, '--dry-run'
    more = '--seeds', 0, 1, 2, '--start', start, '--launcher', 'pytorch', '--processes', 4
    code, out, err = run_tool_process('reproduce', *arguments, *more)
    assert code == 0, err
    lines = [line for line in out.splitlines() if 'tools/' in line]
    assert len(lines) == 1 + 9 + 1
    assert [line.split()[3] for line in lines if ' done ' in line] == ['1']
    trainings = [line for line in lines if line.startswith('train')]
    assert all('torch.distributed.run --nproc-per-node 4' in line for line in trainings)
    assert all('--launcher pytorch --work-dir' in line for line in trainings)
    assert lines[-1].count('=') == 9  # every model by its label
    assert '--base plain-0 --variants --models plain-0=' in lines[-1]
    assert 'to do: about' in out
    assert list(work.rglob('*.py')) == []


@pytest.mark.parametrize(
    ('arguments', 'word'),
    [
        (['darkface', '.', '--model', 'pspnet_r50-d8'], 'no config of pspnet_r50-d8 for darkface'),
        (['acdc', 'nowhere', '--model', 'pspnet_r50-d8'], 'nowhere: there is no such folder'),
        (['darkzurich', '.', '--model', 'pspnet_r50-d8'], 'pass the weights with --start FILE'),
        (['darkface', '.', '--model', 's3fd_vgg16'], 'set SCI_PLUGINS_WIDERFACE to the folder'),
        (['acdc', '.', '--model', 'pspnet_r50-d8', '--seeds', '-1'], 'seed must be at least 0'),
    ],
)
def test_what_does_not_fit(
    arguments: list[str], word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ('SCI_PLUGINS_WIDERFACE', 'SCI_PLUGINS_DAY_DETECTOR'):
        monkeypatch.delenv(name, raising=False)
    code, _, err = run_tool_process('reproduce', *arguments)
    assert code == 2
    assert word in err.splitlines()[-1]
    assert not (tmp_path / 'work_dirs').exists()


@pytest.mark.slow
def test_trained_compared_and_resumed(
    faces: Path, tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _use_official_weights(shared_data, monkeypatch)
    splits = [f'{part}_dataloader.dataset.split=None' for part in ('train', 'val', 'test')]
    small = ['train_cfg.max_epochs=1', 'train_cfg.val_interval=9', 'train_dataloader.batch_size=1']
    arguments = ['darkface', faces, '--detector', 'yolox-p2_w25', '--work-dir', tmp_path / 'work']
    command = [*arguments, '--cfg-options', *LOADERS, *splits, *small]
    code, out, err = run_tool_process('reproduce', *command)
    assert code == 0, err
    for variant in ('plain', 'sci-frozen', 'sci-joint'):
        assert (tmp_path / f'work/{variant}/seed-0/epoch_1.pth').is_file()
        assert f'{variant}-0' in out
    assert '4 test images' in out
    assert 'Published, not reproduced here' in out
    found = read_comparison(tmp_path / 'work/compare/comparison.json')
    assert found.variants == ['plain-0', 'sci-frozen-0', 'sci-joint-0']
    code, out, err = run_tool_process('reproduce', *command)
    assert code == 0, err
    assert '== train' not in out
    assert '== test and compare' in out


def test_the_training_by_day_comes_first(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('SCI_PLUGINS_WIDERFACE', str(faces))
    monkeypatch.delenv('SCI_PLUGINS_DAY_DETECTOR', raising=False)
    arguments = 'darkface', faces, '--detector', 's3fd_vgg16', '--skip-check', '--dry-run'
    more = '--work-dir', tmp_path / 'work', '--day-options', 'train_cfg.max_iters=7'
    code, out, err = run_tool_process('reproduce', *arguments, *more)
    assert code == 0, err
    lines = [line for line in out.splitlines() if 'tools/' in line]
    assert [line.split()[:3] for line in lines[:2]] == [
        ['train', 'by', 'day'],
        ['train', 'plain,', 'seed'],
    ]
    assert '--cfg-options train_cfg.max_iters=7' in lines[0]
    assert 'max_iters' not in lines[1]
    assert 'Using env variable' not in out + err
