"""What the numbers rest on."""

import pytest

from sci_plugins.evaluation.comparison import Comparison
from sci_plugins.evaluation.conditions import Condition
from sci_plugins.visualization.report import sections as facts
from sci_plugins.visualization.report.cells import rows_of
from tests.report_samples import make_comparison, make_result


def _resampling(unit: str | None, units: int) -> facts.Resampling:
    rows = rows_of(make_comparison({'gamma': [0.1]}, units=units, images=106))
    return facts.resampling_of(rows, {} if unit is None else dict(resampling=unit))


def test_images_drawn_anew() -> None:
    found = _resampling('images', 106)
    assert '106 images drawn with replacement 1,000 times (seed 0)' in found.text
    assert found.warning == found.mark == found.caveat == ''
    assert _resampling(None, 106) == found


@pytest.mark.parametrize(
    ('unit', 'text'),
    [('clips', '12 clips (106 images)'), ('blocks of 9', '12 blocks of 9 (106 images)')],
)
def test_clips_and_blocks(unit: str, text: str) -> None:
    assert text in _resampling(unit, 12).text


@pytest.mark.parametrize(('units', 'warned'), [(2, True), (9, True), (10, False)])
def test_too_few_units_are_a_warning(units: int, warned: bool) -> None:
    found = _resampling('clips', units)
    assert bool(found.warning) == warned
    if warned:
        assert found.warning.startswith(f'Only {units} clips to resample')
        assert found.caveat == f', but from only {units} clips'
        assert found.mark == f' Only {units} clips to resample: see the warning.'


def test_the_fewest_units_are_told() -> None:
    comparison = make_comparison({'gamma': [0.1, 0.1]}, units=4)
    comparison.results[:2] = make_comparison({'gamma': [0.1, 0.1]}, units=40).results[:2]
    found = facts.resampling_of(rows_of(comparison), {})
    assert found.text.startswith('Paired bootstrap: 4 images')


def test_no_intervals() -> None:
    results = [make_result(name, Condition(), {'AP': 0.2}) for name in ('none', 'gamma')]
    found = facts.resampling_of(rows_of(Comparison({}, results)), {})
    assert 'no intervals' in found.text


@pytest.mark.parametrize(
    'versions', ['torch 2.14.1+cu130, mmengine 0.10', dict(torch='2.14.1+cu130', mmengine='0.10')]
)
def test_versions(versions: object) -> None:
    found = facts.versions_of(dict(versions=versions))
    assert found == dict(torch='2.14.1+cu130', mmengine='0.10')


def test_no_versions() -> None:
    assert facts.versions_of({}) == {}
    assert facts.versions_of(dict(versions='odd')) == {'odd': ''}


def test_weights() -> None:
    about = dict(weights={'a': dict(name='official/easy', sha256='b17'), 'b': 'mine.pth'})
    assert facts.weights_of(about) == [('a', 'official/easy', 'b17'), ('b', 'mine.pth', '')]
    assert facts.weights_of({}) == []


def test_whatever_else_was_recorded_is_kept() -> None:
    about = dict(config='a.py', seed=3, versions='torch 2', config_diff={}, new=[1])
    assert facts.settings_of(about) == dict(config='a.py', seed='3', new='[1]')


def test_diff_lines() -> None:
    text = '--- none\n+++ gamma\n@@ -1 +1 @@\n same\n-old\n+new'
    assert [kind for kind, _ in facts.diff_lines(text)] == [
        'file',
        'file',
        'place',
        '',
        'removed',
        'added',
    ]
    assert facts.diff_lines('') == []
