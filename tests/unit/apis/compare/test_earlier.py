"""Going on where an earlier comparison stopped."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from PIL import Image

from sci_plugins.apis.compare import compare
from sci_plugins.errors import ConfigError


def test_an_interrupted_run_goes_on(
    seg: tuple[Config, str], tmp_path: Path, measured: list[str]
) -> None:
    settings: dict[str, Any] = dict(work_dir=tmp_path, pictures=1)
    compare(*seg, ['none'], **settings)
    measured[:] = ['stop']
    with pytest.raises(KeyboardInterrupt):
        compare(*seg, ['none', 'gamma/0.3'], resume=True, **settings)
    content = json.loads((tmp_path / 'comparison.json').read_text())
    assert [result['variant'] for result in content['results']] == ['none']

    measured.clear()
    result = compare(*seg, ['none', 'gamma/0.3'], resume=True, **settings)
    assert measured == ['gamma/0.3']
    assert result.variants == ['none', 'gamma/0.3']
    content = json.loads((tmp_path / 'comparison.json').read_text())
    assert len(content['results']) == 2
    (sheet,) = (tmp_path / 'pictures' / 'as-is').glob('*.jpg')
    with Image.open(sheet) as image:
        assert image.width > 3 * 480  # the earlier columns are still there

    measured.clear()
    again = compare(*seg, ['none', 'gamma/0.3'], resume=True, **settings)
    assert measured == []
    assert again.to_json() == result.to_json()


def test_resume_refuses_other_settings(
    seg: tuple[Config, str], tmp_path: Path, measured: list[str]
) -> None:
    cfg, checkpoint = seg
    compare(cfg, checkpoint, ['none'], work_dir=tmp_path, pictures=0)
    before = (tmp_path / 'comparison.json').read_bytes()
    other = copy.deepcopy(cfg)
    other.model.test_cfg.mode = 'slide'
    with pytest.raises(ConfigError, match='made with another config'):
        compare(other, checkpoint, ['none'], work_dir=tmp_path, resume=True)
    assert (tmp_path / 'comparison.json').read_bytes() == before
    # another work dir or launcher is no other experiment
    moved = copy.deepcopy(cfg)
    moved.work_dir, moved.launcher = 'elsewhere', 'none'
    measured.clear()
    compare(moved, checkpoint, ['none'], work_dir=tmp_path, resume=True, pictures=0)
    assert measured == []


def test_resume_from_a_damaged_file(seg: tuple[Config, str], tmp_path: Path) -> None:
    (tmp_path / 'comparison.json').write_text('{"about": ')
    with pytest.raises(ConfigError, match=r'comparison\.json is damaged'):
        compare(*seg, ['none'], work_dir=tmp_path, resume=True, pictures=0)
