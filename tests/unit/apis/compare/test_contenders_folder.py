"""Images that another program has enhanced, as a variant: ``folder/DIR``."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmcv.transforms import Compose
from mmengine.config import Config

from sci_plugins.apis.compare import compare
from sci_plugins.apis.compare.about import build_image_set
from sci_plugins.errors import ConfigError, DataError
from sci_plugins.evaluation.conditions import Condition
from sci_plugins.utils.images import write_image

DARK = Condition(0.2, 0.01)


def _enhance_elsewhere(cfg: Config, folder: Path, condition: Condition | None = None) -> list[Path]:
    """What some other program would have written: gamma, darkened before if wished."""
    dark = [dict(type='sci_plugins.SynthesizeLowLight', **condition.settings)] if condition else []
    steps: list[Any] = [
        dict(type='LoadImageFromFile'),
        *dark,
        dict(type='sci_plugins.EnhanceImage', enhancer='gamma/0.4'),
    ]
    files = []
    for path in build_image_set(cfg).paths:
        image = Compose(steps)(dict(img_path=path))['img'][..., ::-1]
        files.append(folder / 'some' / f'{Path(path).stem}.bmp')
        write_image(files[-1], image)
    return files


@pytest.mark.parametrize('host', [pytest.param('seg', marks=pytest.mark.slow), 'det'])
def test_as_if_enhanced_here(host: str, request: Any, tmp_path: Path, measured: list[str]) -> None:
    """The same numbers and records as enhancing before any resize, darkened or not."""
    source: tuple[Config, str] = request.getfixturevalue(host)
    _enhance_elsewhere(source[0], tmp_path / 'other/day')
    _enhance_elsewhere(source[0], tmp_path / 'other' / 'dark' / DARK.slug, DARK)
    for name, condition in (('day', Condition()), ('dark', DARK)):
        folder = f'folder/{tmp_path}/other/{name}'
        names = ['none', 'before(gamma/0.4)', folder]
        found = compare(
            *source, names, conditions=[condition], work_dir=tmp_path / name, pictures=1
        )
        _, here, other = found.results
        assert here.metrics == other.metrics
        assert repr(other.analysis) == repr(here.analysis)  # NaN is not NaN
        assert here.analysis.gained or here.analysis.lost
        sheets = {path.parent.name[:6]: path.read_bytes() for path in _changed(tmp_path / name)}
        assert set(sheets) == {'before', 'folder'}
        assert found.about['weights'][folder]['name'] == name
    measured.clear()
    again = compare(
        *source, names, conditions=[DARK], work_dir=tmp_path / 'dark', pictures=1, resume=True
    )
    assert measured == []
    assert again.results[2].metrics == other.metrics


def _changed(work_dir: Path) -> list[Path]:
    return sorted(work_dir.glob('pictures/*/changed/*/*.jpg'))


def test_the_sheets_show_what_the_model_saw(seg: tuple[Config, str], tmp_path: Path) -> None:
    """The images that changed most are drawn as enhanced, not as they were loaded."""
    names = ['none', 'before(gamma/0.4)', 'before(none)']
    compare(*seg, names, conditions=[DARK], work_dir=tmp_path, pictures=0)
    from PIL import Image

    path = next(each for each in _changed(tmp_path) if 'gamma' in str(each))
    sheet = np.asarray(Image.open(path).convert('L'), float)
    thirds = np.array_split(sheet[: len(sheet) // 2], 3, axis=1)
    # Input, base, variant: white captions alike, the enhanced image far brighter.
    dark, base, bright = (np.median(part[40:-20, 20:-20]) for part in thirds)
    assert bright > 1.5 * max(dark, base)


def test_other_files_are_another_experiment(seg: tuple[Config, str], tmp_path: Path) -> None:
    files = _enhance_elsewhere(seg[0], tmp_path / 'other')
    names = ['none', f'folder/{tmp_path}/other']
    compare(*seg, names, work_dir=tmp_path / 'work', pictures=0)
    files[0].write_bytes(files[1].read_bytes())
    with pytest.raises(ConfigError, match='was made with another folder/'):
        compare(*seg, names, work_dir=tmp_path / 'work', pictures=0, resume=True)


@pytest.mark.parametrize('kind', ['missing', 'size', 'twice', 'no folder', 'condition', 'no image'])
def test_what_does_not_fit_is_told_before_anything_runs(
    seg: tuple[Config, str], tmp_path: Path, measured: list[str], kind: str
) -> None:
    files = _enhance_elsewhere(seg[0], tmp_path / 'other')
    name, told = files[1].stem, {}
    if kind == 'missing':
        files[1].unlink()
    elif kind == 'size':
        write_image(files[1], np.zeros((4, 6, 3), np.uint8))
    elif kind == 'twice':
        write_image(files[1].with_name(f'{name}.png'), np.zeros((48, 64, 3), np.uint8))
    elif kind == 'no image':
        files[1].write_text('no image')
    told['missing'] = f'expected a file for each of 3 images, found none for 1 of them, .* {name}'
    told['size'] = f'{name}.bmp: expected 64 x 48, as .*{name}.*, got 6 x 4'
    told['twice'] = f'expected one file for .* alone, got .*{name}.bmp, .*{name}.png'
    told['no folder'] = 'nowhere: no such folder'
    told['condition'] = f'{DARK.slug}: no such folder'
    told['no image'] = f'{name}.bmp cannot be read as an image'
    folder = 'nowhere' if kind == 'no folder' else f'{tmp_path}/other'
    settings: dict[str, Any] = dict(conditions=[DARK]) if kind == 'condition' else {}
    with pytest.raises(DataError, match=told[kind]) as caught:
        compare(*seg, ['none', f'folder/{folder}'], work_dir=tmp_path / 'work', **settings)
    assert '\n' not in str(caught.value)
    assert measured == []
    assert not (tmp_path / 'work').exists()


def test_only_as_a_variant(seg: tuple[Config, str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown enhancer 'folder/x'"):
        compare(*seg, ['none', 'merge(folder/x)'], work_dir=tmp_path)
