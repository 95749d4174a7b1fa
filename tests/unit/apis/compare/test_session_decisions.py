"""What adaptive stages decided: in the run's files, the reports and the pictures."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from sci_plugins.apis.compare import compare
from sci_plugins.errors import ConfigError
from sci_plugins.evaluation.comparison import Comparison, read_comparison
from sci_plugins.evaluation.conditions import Condition

VARIANTS = ['none', 'adaptive', 'before(adaptive)']
CONDITIONS = (Condition(), Condition(0.05, 0.004))


def _compare(source: tuple[Config, str], folder: Path, **settings: Any) -> Comparison:
    settings = dict(pictures=0, changed=1, resamples=20, conditions=CONDITIONS) | settings
    return compare(*source, settings.pop('variants', VARIANTS), work_dir=folder, **settings)


@pytest.fixture(scope='module')
def folder(seg: tuple[Config, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp('compared')
    _compare(seg, target)
    return target


def test_the_file_has_them(folder: Path) -> None:
    comparison = read_comparison(folder / 'comparison.json')
    assert len(comparison.results) == 6
    for result in comparison.results:
        if result.variant == 'none':
            assert result.decisions is None
            continue
        assert result.decisions is not None
        assert len(result.decisions.images) == result.images
    for variant in VARIANTS[1:]:
        day, night = (comparison.find(each, variant).decisions for each in CONDITIONS)
        assert max(night.light) < min(day.light)
        assert min(night.noise) > 0.001
        assert min(night.gain) > 1
        assert night.off == 0


@pytest.mark.parametrize('name', ['comparison.md', 'report.html'])
def test_both_reports_tell_them(folder: Path, name: str) -> None:
    text = (folder / name).read_text()
    part = text[text.index('What the adaptive stage decided</h2>' if name.endswith('l') else
                           '## What the adaptive stage decided') :]  # fmt: skip
    decisions = (
        read_comparison(folder / 'comparison.json').find(CONDITIONS[1], 'adaptive').decisions
    )
    for condition in CONDITIONS:
        for variant in VARIANTS[1:]:
            assert f'{condition.name}, {variant}' in part
    quartile = f'{np.quantile(decisions.gain, 0.25):.3g}'
    assert (f'| {quartile} |' if name.endswith('.md') else f'<td>{quartile}</td>') in part
    assert f'Off for 0 of {len(decisions.images)} images.' in part
    if name.endswith('.html'):
        assert part.count('class="plot"') >= 4 * 8
        for special in ('lowest gain', 'middle gain', 'highest gain'):
            assert part.count(f'</b>, {special}: light') == 4
        place = decisions.examples()['highest gain']
        assert f'{decisions.images[place]}</b>, highest gain: {decisions[place].told}' in part


def test_the_examples_are_drawn(folder: Path) -> None:
    comparison = read_comparison(folder / 'comparison.json')
    for condition in CONDITIONS:
        drawn = folder / 'pictures' / condition.slug / 'decisions'
        found = comparison.find(condition, 'adaptive').decisions
        names = {found.images[place] for place in found.examples().values()}
        assert len(names) == 3
        paths = list((drawn / 'adaptive').glob('*.jpg'))
        assert len(paths) == len(names)
        assert len(list(drawn.rglob('*.jpg'))) == 6


def test_resume_keeps_them(seg: tuple[Config, str], folder: Path, measured: list[str]) -> None:
    before = json.loads((folder / 'comparison.json').read_text())
    found = _compare(seg, folder, resume=True)
    assert measured == []
    assert [each.decisions for each in found.results] == [
        each.decisions for each in read_comparison(folder / 'comparison.json').results
    ]
    assert json.loads((folder / 'comparison.json').read_text()) == before


def test_a_file_without_them_is_read(
    seg: tuple[Config, str], folder: Path, tmp_path: Path, measured: list[str]
) -> None:
    """One of an older version: nothing is measured again, and there is no section."""
    _compare(seg, tmp_path, conditions=CONDITIONS[:1], changed=0)
    content = json.loads((tmp_path / 'comparison.json').read_text())
    for result in content['results']:
        del result['decisions']
    (tmp_path / 'comparison.json').write_text(json.dumps(content))
    measured.clear()
    found = _compare(seg, tmp_path, conditions=CONDITIONS[:1], resume=True)
    assert measured == []
    assert all(each.decisions is None for each in found.results)
    for name in ('comparison.md', 'report.html'):
        assert 'What the adaptive stage decided' not in (tmp_path / name).read_text()


def test_the_base_may_be_adaptive(seg: tuple[Config, str], tmp_path: Path) -> None:
    _compare(seg, tmp_path, variants=['adaptive', 'none'], conditions=CONDITIONS[:1])
    drawn = list((tmp_path / 'pictures' / 'as-is' / 'decisions' / 'adaptive').glob('*.jpg'))
    assert len(drawn) == 3
    with Image.open(drawn[0]) as sheet:
        assert 2 * 480 < sheet.width < 3 * 480  # input and base, once


def test_without_pictures_of_changes_there_are_none_of_decisions(
    seg: tuple[Config, str], tmp_path: Path
) -> None:
    _compare(seg, tmp_path, variants=['none', 'adaptive'], conditions=CONDITIONS[:1], changed=0)
    assert not list(tmp_path.rglob('decisions'))
    assert 'What the adaptive stage decided' in (tmp_path / 'report.html').read_text()


def test_decisions_for_other_images_are_refused(seg: tuple[Config, str], tmp_path: Path) -> None:
    settings = dict(variants=['none', 'adaptive'], conditions=CONDITIONS[:1], changed=0)
    _compare(seg, tmp_path, **settings)
    content = json.loads((tmp_path / 'comparison.json').read_text())
    content['results'][1]['decisions']['images'][0] = 'elsewhere'
    (tmp_path / 'comparison.json').write_text(json.dumps(content))
    with pytest.raises(ConfigError, match='measured on other images'):
        _compare(seg, tmp_path, resume=True, **settings)
    content['results'][1]['decisions']['gain'].pop()
    (tmp_path / 'comparison.json').write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r'results\[1\].decisions: expected a value of each kind'):
        _compare(seg, tmp_path, resume=True, **settings)
