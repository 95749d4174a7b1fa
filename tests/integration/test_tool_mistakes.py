"""Mistakes at the command line: one line, exit code 2, nothing half-written."""

import os
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from PIL import Image

from sci_plugins.utils.checkpoint import read_checkpoint
from tests.host_models import TYPES
from tests.run_tool import run_tool

pytest.importorskip('mmseg')

TINY = runpy.run_path(str(Path(__file__).parents[1] / 'data' / 'make_tiny.py'))
TOOLS = ('train', 'test', 'compare')


@pytest.fixture(scope='module', autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Set(NamedTuple):
    """A user's files, to be spoilt."""

    folder: Path
    config: Path
    checkpoint: Path


@pytest.fixture
def files(tmp_path: Path) -> Set:
    config = TINY['write_segmentation'](tmp_path / 'set')
    return Set(tmp_path / 'set', config, TINY['write_checkpoint'](config))


def _mistake(tool: str, files: Set, *options: object, **changed: Any) -> str:
    """What a tool says in one line before it ends with 2; nothing is written."""
    config = changed.get('config', files.config)
    checkpoint = [] if tool == 'train' else [changed.get('checkpoint', files.checkpoint)]
    work_dir = files.folder / 'work'
    code, out, err = run_tool(tool, config, *checkpoint, '--work-dir', work_dir, *options)
    assert code == 2, err
    lines = [line for line in err.splitlines() if line.startswith('error: ')]
    assert len(lines) == 1
    assert err.endswith(f'{lines[0]}\n')
    assert 'Traceback' not in err + out
    results = {'metrics.json', 'comparison.json', 'comparison.md', '.jpg'}
    for path in work_dir.rglob('*'):
        assert not {path.name, path.suffix} & results
        if path.suffix == '.pth':
            read_checkpoint(path)  # of the steps before the mistake was met: whole
    return lines[0]


@pytest.mark.parametrize('tool', TOOLS)
def test_a_missing_config(tool: str, files: Set) -> None:
    assert 'config not found: no.py' in _mistake(tool, files, config='no.py')


@pytest.mark.parametrize('tool', TOOLS)
def test_a_config_without_a_data_preprocessor(tool: str, files: Set) -> None:
    text = f"_base_ = '{files.config.name}'\nmodel = dict(data_preprocessor=None)\n"
    (files.folder / 'none.py').write_text(text)
    message = _mistake(tool, files, config=files.folder / 'none.py')
    assert 'data_preprocessor' in message


@pytest.mark.parametrize('tool', TOOLS)
def test_a_config_without_a_model(tool: str, files: Set) -> None:
    (files.folder / 'none.py').write_text("default_scope = 'mmseg'\n")
    message = _mistake(tool, files, config=files.folder / 'none.py')
    assert 'none.py has no model' in message


@pytest.mark.parametrize(
    ('tool', 'enhancer', 'word'),
    [
        *[(tool, "='magic'", "unknown enhancer 'magic'") for tool in TOOLS],
        ('train', '.type=sci_plugins.Nothing', 'sci_plugins.Nothing'),
        ('compare', '.weights=x', "needs 'type'"),
        ('test', "='sci/no/such.pth'", 'no/such.pth'),
        ('train', '', "'enhancer'"),
    ],
)
def test_an_enhancer_that_is_not_there(tool: str, files: Set, enhancer: str, word: str) -> None:
    place = 'model.data_preprocessor'
    options = [f'{place}.type={TYPES["mmseg"]}']
    options += [f'{place}.enhancer{enhancer}'] if enhancer else []
    assert word in _mistake(tool, files, '--cfg-options', *options)


def test_an_unknown_variant(files: Set) -> None:
    message = _mistake('compare', files, '--variants', 'none', 'magic')
    assert "unknown enhancer 'magic'" in message
    assert 'clahe' in message  # what there is


class _Code:
    """Runs a command when it is unpickled, as a hostile file would."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f'touch {self.marker}',)


@pytest.mark.parametrize('way', [*TOOLS, 'resume', 'load_from'])
def test_a_checkpoint_that_holds_code(way: str, files: Set) -> None:
    marker, path = files.folder / 'marker', files.folder / 'evil.pth'
    torch.save(dict(read_checkpoint(files.checkpoint), meta=_Code(marker)), path)
    if way in ('test', 'compare'):
        message = _mistake(way, files, checkpoint=path)
    elif way == 'resume':
        message = _mistake('train', files, '--resume', path)
    else:
        message = _mistake('train', files, '--cfg-options', f'load_from={path}')
    assert 'system' in message
    assert '--trust-checkpoint' in message
    assert not marker.exists()


@pytest.mark.parametrize('tool', ['test', 'compare'])
@pytest.mark.parametrize('kind', ['missing', 'empty', 'other model'])
def test_a_checkpoint_that_is_none(tool: str, kind: str, files: Set) -> None:
    path = files.folder / 'other.pth'
    if kind == 'empty':
        path.touch()
    elif kind == 'other model':
        torch.save(dict(state_dict=dict(x=torch.zeros(1))), path)
    assert str(path) in _mistake(tool, files, checkpoint=path)


def test_amp_without_a_gpu(files: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert '--amp needs a GPU' in _mistake('train', files, '--amp')


@pytest.mark.parametrize('tool', TOOLS)
@pytest.mark.parametrize('kind', ['empty', 'missing'])
def test_a_folder_without_images(tool: str, kind: str, files: Set) -> None:
    for path in (files.folder / 'images').iterdir():
        path.unlink()
    if kind == 'missing':
        (files.folder / 'images').rmdir()
    assert str(files.folder / 'images') in _mistake(tool, files)


@pytest.mark.parametrize(
    ('tool', 'name'), [('train', 'images'), ('test', 'labels'), ('compare', 'images')]
)
def test_a_file_of_zero_bytes(tool: str, name: str, files: Set) -> None:
    path = files.folder / name / '001.png'
    path.write_bytes(b'')
    assert f'{path} is empty (0 bytes)' in _mistake(tool, files)


def test_a_label_map_that_does_not_fit(files: Set) -> None:
    path = files.folder / 'labels' / '001.png'
    Image.new('L', (60, 48)).save(path)
    assert f'{path}: the label map has the size' in _mistake('compare', files)
    Image.new('L', (64, 48), 77).save(path)
    assert 'class 77' in _mistake('train', files)


def test_grey_and_deep_images_are_read(files: Set) -> None:
    """OpenCV makes them BGR of 8 bits, as the hosts' loader asks."""
    for name, mode in (('001.png', 'L'), ('002.png', 'I;16')):
        path = files.folder / 'images' / name
        Image.open(path).convert('L').convert(mode).save(path)
    options = ['--variants', 'none', 'gamma', '--work-dir', files.folder / 'work']
    code, _, err = run_tool('compare', files.config, files.checkpoint, *options)
    assert code == 0, err


@pytest.mark.parametrize('tool', TOOLS)
@pytest.mark.parametrize('host', ['mmdet', 'mmseg'])
def test_a_host_that_is_not_installed(
    tool: str, host: str, files: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, host, None)
    (files.folder / 'host.py').write_text(f"default_scope = '{host}'\n")
    for config in (files.folder / 'host.py', f'{host}::some/config.py'):
        message = _mistake(tool, files, config=config)
        assert f'needs the package {host}' in message
        assert 'pip install "sci_plugins[onedl]"' in message


def test_a_joint_loss_without_an_enhancer(files: Set) -> None:
    text = f"_base_ = '{files.config.name}'\n"
    text += "custom_hooks = [dict(type='sci_plugins.EnhancementLossHook')]\n"
    (files.folder / 'joint.py').write_text(text)
    message = _mistake('train', files, config=files.folder / 'joint.py')
    assert 'needs a model with an enhancer:' in message


@pytest.mark.parametrize('tool', TOOLS)
def test_a_work_dir_that_is_a_file(tool: str, files: Set) -> None:
    path = files.folder / 'taken'
    path.touch()
    code, _, err = run_tool(
        tool, files.config, *([] if tool == 'train' else [files.checkpoint]), '--work-dir', path
    )
    assert code == 2
    assert str(path) in err.splitlines()[-1]
