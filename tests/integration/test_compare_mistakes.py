"""Options of tools/compare.py that do not fit: one line, code 2, nothing half-written."""

import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.run_tool import run_tool

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')

TINY = runpy.run_path(str(Path(__file__).parents[1] / 'data' / 'make_tiny.py'))
_SETS = dict(seg='segmentation', det='detection')


@pytest.fixture(scope='module')
def sets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Config and checkpoint of a segmentor and of a detector, by short names."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    files = {}
    for name, kind in _SETS.items():
        config = TINY[f'write_{kind}'](tmp_path_factory.mktemp(name))
        files[name] = str(config)
        files[f'{name}_pth'] = str(TINY['write_checkpoint'](config))
    other = Path(files['seg']).with_name('two_classes.py')
    other.write_text(
        "_base_ = 'tiny_segmentor.py'\n"
        "metainfo = dict(classes=('a', 'b'), palette=[[0, 0, 0], [9, 9, 9]])\n"
        'test_dataloader = dict(dataset=dict(metainfo=metainfo))\n'
    )
    files['other'] = str(other)
    yield files
    torch.set_num_threads(before)


def _mistake(sets: dict[str, str], work_dir: Path, options: list[str], host: str = 'seg') -> str:
    """What the tool says in its last line; it must not have begun to write."""
    texts = [text.format(**sets) for text in options]
    checkpoint = sets[f'{host}_pth']
    if texts[:1] == ['CHECKPOINT']:
        checkpoint, texts = texts[1], texts[2:]
    code, out, err = run_tool('compare', sets[host], checkpoint, '--work-dir', work_dir, *texts)
    assert code == 2, err
    lines = [line for line in err.splitlines() if 'error: ' in line]
    assert len(lines) == 1, err
    assert err.endswith(f'{lines[0]}\n')
    assert 'Traceback' not in err + out
    assert not work_dir.exists()
    return lines[0]


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (['--models', 'new'], '--models must be LABEL=CONFIG,CHECKPOINT'),
        (['--models', '={seg},{seg_pth}'], '--models must be LABEL=CONFIG,CHECKPOINT'),
        (['--models', 'new={seg}'], '--models must be LABEL=CONFIG,CHECKPOINT'),
        (['--models', 'new={seg},no.pth'], 'checkpoint of model new not found: no.pth'),
        (['--models', 'new=no.py,{seg_pth}'], 'config not found: no.py'),
        (['--models', *['new={seg},{seg_pth}'] * 2], 'duplicate label new'),
        (['--models', 'none={seg},{seg_pth}'], 'duplicate names among variants and models: none'),
        (['--models', 'new={other},{seg_pth}'], "must have the first one's classes"),
        (['--models', 'new={det},{det_pth}'], 'new is an mmdet model, the first is an mmseg model'),
        (['--models', 'new={seg},none'], "'none' is for a model that carries its own"),
        (['--base', 'clahe'], "one of the variants or models (none, gamma), got 'clahe'"),
        (['--resample', 'clips:['], '--resample clips:[: not a regular expression'),
        (['--resample', 'clips:x'], 'clips:x must match every image name'),
        (['--resample', 'blocks:0'], "--resample must be 'images', 'clips:REGEX'"),
        (['--resample', 'frames'], "or 'blocks:N', got 'frames'"),
        (['--resamples', '0'], 'resamples must be at least 1, got 0'),
        (['--changed', '-1'], 'changed must be at least 0, got -1'),
        (['--pictures', '-1'], 'pictures must be at least 0, got -1'),
        (['--seed', '-1'], 'seed must be at least 0, got -1'),
        (['--input-max', '0'], 'input_max must be above 0, got 0'),
        (['--input-max', 'nan'], 'input_max must be above 0, got nan'),
        (['--darken', '0.05', '2'], "darkening '2': gain must be in (0, 1]"),
        (['--variants', 'none', 'gated/magic'], "'gated/magic': unknown enhancer"),
        (['--variants', 'none', 'gated'], "'gated' needs another enhancer"),
        (['--variants', 'none', 'merge(magic)'], "unknown enhancer 'magic'"),
        (['CHECKPOINT', 'none'], "'none' is for a model that carries its own"),
    ],
)
def test_options_of_a_segmentor(
    sets: dict[str, str], tmp_path: Path, options: list[str], words: str
) -> None:
    if '--variants' not in options:
        options = [*options, '--variants', 'none', 'gamma']
    assert words in _mistake(sets, tmp_path / 'work', options)


def test_other_models_of_a_detector(sets: dict[str, str], tmp_path: Path) -> None:
    options = ['--models', 'new={det},{seg_pth}']
    message = _mistake(sets, tmp_path / 'work', options, 'det')
    assert 'tiny_segmentor.pth' in message


@pytest.mark.parametrize(
    ('mean', 'std', 'word'),
    [
        ([123.0] * 3, [58.0] * 3, 'they seem normalised; is there a Normalize in the pipeline'),
        ([0.0] * 3, [255.0] * 3, 'as in 3 batches in a row: leave out the division by 255'),
    ],
    ids=['normalised', '0 to 1'],
)
def test_images_on_another_scale_are_no_verdict(
    sets: dict[str, str], tmp_path: Path, mean: list[float], std: list[float], word: str
) -> None:
    """They would be clamped to black, and the comparison would say that enhancing hurts."""
    loaded = "dict(type='LoadImageFromFile'),\n"
    step = f"    dict(type='Normalize', mean={mean}, std={std}, to_rgb=False),\n"
    end = 'model.update(data_preprocessor=dict(type="DetDataPreprocessor"))\n'
    config = Path(sets['det']).with_name('scaled.py')
    config.write_text(Path(sets['det']).read_text().replace(loaded, loaded + step) + end)
    options = ['--variants', 'none', 'gamma', '--pictures', '0', '--work-dir', tmp_path]
    code, out, err = run_tool('compare', config, sets['det_pth'], *options)
    assert code == 2
    assert 'Traceback' not in err + out
    last = err.splitlines()[-1]
    assert last.startswith('error: float images must be in [0, 255], got values from')
    assert word in last
    assert 'hurts' not in (tmp_path / 'comparison.md').read_text()
