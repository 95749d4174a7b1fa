"""Tuning with labels as a user runs it, on tiny networks of both hosts."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.run_tool import run_tool, run_tool_process

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')
TINY = runpy.run_path(str(Path(__file__).parents[1] / 'data' / 'make_tiny.py'))
WRITERS = dict(det='write_detection', seg='write_segmentation')


@pytest.fixture()
def networks(tmp_path: Path) -> dict[str, tuple[Path, Path]]:
    """Config and checkpoint of a network of each host, with images by day."""
    found = {}
    for name, writer in WRITERS.items():
        config = TINY[writer](tmp_path / name)
        for path in (tmp_path / name / 'images').iterdir():
            Image.fromarray(np.asarray(Image.open(path)) * 3).save(path)
        found[name] = config, TINY['write_checkpoint'](config)
    return found


@pytest.mark.slow
@pytest.mark.parametrize('name', WRITERS)
def test_with_labels(networks: dict, tmp_path: Path, name: str) -> None:
    out = tmp_path / 'tuned.pth'
    options = ['--task-loss', '--steps', 2, '--batch-size', 2, '--out', out]
    code, shown, errors = run_tool_process('tune', *networks[name], *options)
    assert code in (0, 1), errors
    *table, verdict = shown.splitlines()
    assert len(table[-16:]) == 16
    assert f'{out}: 2 steps, ' in verdict
    assert ('NOT SAFE' in verdict) is (code == 1)
    assert out.is_file()
    assert (tmp_path / 'tuned_progress.jpg').is_file()


def _mistake(*arguments: object) -> str:
    code, _, errors = run_tool('tune', *arguments)
    assert code == 2
    message = errors.splitlines()[-1]
    assert message.startswith('error: ')
    return message


def test_mistakes(networks: dict, tmp_path: Path) -> None:
    options = ['--task-loss', '--steps', 2, '--batch-size', 1, '--out', tmp_path / 'a.pth']
    config, checkpoint = networks['det']
    other = networks['seg'][1]
    assert f'{other} does not fit the model' in _mistake(config, other, *options)
    config.write_text(config.read_text().replace('train_dataloader =', 'nothing ='))
    assert 'no train_dataloader' in _mistake(config, checkpoint, *options)
    assert not list(tmp_path.glob('a*'))


def test_damaged_data(networks: dict, tmp_path: Path) -> None:
    options = ['--task-loss', '--steps', 2, '--batch-size', 2, '--out', tmp_path / 'a.pth']
    folder = networks['det'][0].parent
    for path in (folder / 'images').iterdir():
        path.write_bytes(b'no image')
    assert 'of the train_dataloader cannot be loaded' in _mistake(*networks['det'], *options)
    (folder / 'images' / '000.png').unlink()
    content = json.loads((folder / 'coco.json').read_text())
    content['images'] = content['images'][:1]
    (folder / 'coco.json').write_text(json.dumps(content))
    assert 'at least 2 images' in _mistake(*networks['det'], *options)
    (folder / 'coco.json').unlink()
    assert 'coco.json' in _mistake(*networks['det'], *options)
    for path in (networks['seg'][0].parent / 'labels').iterdir():
        path.unlink()
    assert '.png' in _mistake(*networks['seg'], *options)
    assert not list(tmp_path.glob('a*'))
