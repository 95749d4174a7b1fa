"""What may be asked of a comparison, and what is refused, on one tiny real model."""

import copy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from sci_plugins.apis.compare import ModelSource, compare
from sci_plugins.errors import ConfigError, MissingDependencyError
from sci_plugins.models.enhancers import SCIEnhancer
from sci_plugins.visualization.report.cells import rows_of
from sci_plugins.visualization.report.markdown import tell_comparison

#: Tables only.
PLAIN: dict[str, Any] = dict(pictures=0, changed=0, report=False)


@pytest.mark.parametrize('order', ['bgr', 'rgb'])
def test_what_the_config_has_in_front(seg: tuple[Config, str], tmp_path: Path, order: str) -> None:
    """Its channel order is kept, also for the enhancers that it is compared with."""
    cfg, checkpoint = copy.deepcopy(seg[0]), seg[1]
    weights = _uneven_enhancer(tmp_path)
    cfg.model.data_preprocessor.merge(
        dict(
            type='sci_plugins.EnhancedSegDataPreProcessor',
            enhancer=dict(type='sci_plugins.SCIEnhancer', weights=weights),
            input_order=order,
        )
    )
    names = ['none', 'config', f'sci/{weights}']
    found = compare(cfg, checkpoint, names, work_dir=tmp_path, **PLAIN)
    none, config, sci = (result.metrics for result in found.results)
    assert config == sci != none
    cfg.load_from, cfg.work_dir = checkpoint, str(tmp_path / 'by_hand')
    cfg.experiment_name = f'config_{order}'
    assert Runner.from_cfg(cfg).test() == config


def _uneven_enhancer(folder: Path) -> str:
    enhancer = SCIEnhancer()
    enhancer.out_conv.bias.data.copy_(torch.tensor([-4.0, -1.0, 3.0]))
    torch.save(enhancer.state_dict(), folder / 'uneven.pth')
    return str(folder / 'uneven.pth')


@pytest.mark.parametrize(
    ('variants', 'error', 'word'),
    [
        ([], ConfigError, 'at least one'),
        (['none', 'none'], ConfigError, 'duplicate names'),
        (['none', 'magic'], ConfigError, "unknown enhancer 'magic'"),
        (['sci/no/such.pth'], FileNotFoundError, r'no/such\.pth'),
    ],
)
def test_wrong_variants_fail_before_anything_slow(
    seg: tuple[Config, str], tmp_path: Path, variants: list, error: type, word: str
) -> None:
    with pytest.raises(error, match=word):
        compare(seg[0], 'no such checkpoint', variants, work_dir=tmp_path / 'work')
    assert not (tmp_path / 'work').exists()


def test_config_as_a_variant_needs_an_enhancer_in_it(
    seg: tuple[Config, str], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="variant 'config'"):
        compare(*seg, ['none', 'config'], work_dir=tmp_path)


@pytest.mark.parametrize('key', ['model', 'test_dataloader', 'test_cfg', 'test_evaluator'])
def test_a_config_without_a_test_set(seg: tuple[Config, str], tmp_path: Path, key: str) -> None:
    cfg = copy.deepcopy(seg[0])
    cfg[key] = None
    with pytest.raises(ConfigError, match=f'has no {key}') as caught:
        compare(cfg, seg[1], ['none'], work_dir=tmp_path)
    assert 'tiny_segmentor.py' in str(caught.value)


def test_a_config_without_a_data_preprocessor(seg: tuple[Config, str], tmp_path: Path) -> None:
    cfg = copy.deepcopy(seg[0])
    del cfg.model.data_preprocessor
    with pytest.raises(ConfigError, match='data_preprocessor') as caught:
        compare(cfg, seg[1], ['none'], work_dir=tmp_path)
    assert '\n' not in str(caught.value)


def test_an_evaluator_without_numbers(seg: tuple[Config, str], tmp_path: Path) -> None:
    cfg = copy.deepcopy(seg[0])
    cfg.test_evaluator = dict(type='IoUMetric', format_only=True, output_dir=str(tmp_path / 'png'))
    with pytest.raises(ConfigError, match='no numbers to compare'):
        compare(cfg, seg[1], ['none'], work_dir=tmp_path, **PLAIN)


def test_more_pictures_than_images(seg: tuple[Config, str], tmp_path: Path) -> None:
    compare(*seg, ['none'], work_dir=tmp_path, pictures=9)
    assert len(list((tmp_path / 'pictures' / 'as-is').glob('*.jpg'))) == 3


def test_other_models_stand_in_the_same_table(seg: tuple[Config, str], tmp_path: Path) -> None:
    """A trained model with an enhancer in its config is what the variant is."""
    other = copy.deepcopy(seg[0])
    kind = 'sci_plugins.EnhancedSegDataPreProcessor'
    other.model.data_preprocessor.merge(dict(type=kind, enhancer='gamma/0.3'))
    other.test_dataloader.dataset.data_root = '/not/there'
    found = compare(
        *seg,
        ['none', 'gamma/0.3'],
        models=dict(trained=ModelSource(other, seg[1])),
        base='gamma/0.3',
        work_dir=tmp_path,
        **PLAIN,
    )
    assert found.variants == ['gamma/0.3', 'none', 'trained']
    gamma, none, trained = found.results
    assert gamma.metrics == trained.metrics != none.metrics
    assert gamma.analysis is None
    assert none.analysis.base == trained.analysis.base == 'gamma/0.3'
    assert trained.analysis.main.delta == 0
    assert trained.analysis.main.verdict == 'no difference beyond ±δ'
    assert trained.analysis.identical
    assert 'gamma/0.3' in found.about['config_diff']['trained']
    assert found.about['weights']['trained']['sha256'] == found.about['checkpoint_sha256']
    assert '| trained |' in (tmp_path / 'comparison.md').read_text()


def test_merging_is_between_raw_and_enhanced(seg: tuple[Config, str], tmp_path: Path) -> None:
    names = ['none', 'merge(none)', 'gamma/0.3', 'merge(gamma/0.3)']
    found = compare(*seg, names, work_dir=tmp_path, pictures=1)
    none, same, gamma, merged = (result.metrics for result in found.results)
    assert same == none
    assert merged not in (none, gamma)
    assert len(found.results[3].analysis.intervals) == 6


def test_merged_boxes(det: tuple[Config, str], tmp_path: Path) -> None:
    names = ['none', 'merge(none)', 'gamma/0.3', 'merge(gamma/0.3)']
    found = compare(*det, names, work_dir=tmp_path, pictures=1)
    none, same, gamma, merged = (result.metrics for result in found.results)
    assert same == none
    assert merged not in (none, gamma)


def test_without_a_truth_a_line_says_why(
    det: tuple[Config, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sci_plugins.evaluation.records import ImageSet

    monkeypatch.setattr(ImageSet, 'has_boxes', False)
    found = compare(*det, ['none', 'gamma'], work_dir=tmp_path, pictures=1)
    assert [result.analysis for result in found.results] == [None, None]
    (note,) = {result.note for result in found.results}
    assert note.startswith('no class of records accepts these results')
    text = (tmp_path / 'comparison.md').read_text()
    assert text.count(f'without an interval ({note}), so no verdict') == 1
    assert not (tmp_path / 'records').exists()
    assert (tmp_path / 'report.html').is_file()


def test_the_metric_and_the_units_can_be_chosen(det: tuple[Config, str], tmp_path: Path) -> None:
    settings = dict(work_dir=tmp_path, **PLAIN)
    found = compare(
        *det,
        ['none', 'gamma'],
        metric='VOC_AP50_area',
        resample=r'clips:\d{2}',
        resamples=50,
        seed=4,
        **settings,
    )
    analysis = found.results[1].analysis
    assert analysis.metric == 'VOC_AP50_area'
    assert (analysis.units, analysis.resamples, analysis.seed) == (1, 50, 4)
    assert 'from only 1 clips' in tell_comparison(found)
    assert not (tmp_path / 'report.html').exists()
    settings |= dict(metric='bbox_mAP_50', resamples=50)
    by_host = compare(*det, ['none', 'gamma'], **settings)
    assert by_host.results[1].analysis.metric == 'COCO_AP50'


@pytest.mark.parametrize(
    ('settings', 'word'),
    [
        (dict(resample='clips:x'), 'does not match 000'),
        (dict(resample='some'), '--resample must be'),
        (dict(resamples=0), 'resamples must be at least 1, got 0'),
        (dict(pictures=-1), 'pictures must be at least 0, got -1'),
        (dict(changed=-1), 'changed must be at least 0, got -1'),
        (dict(seed=-1), 'seed must be at least 0, got -1'),
        (dict(base='clahe'), r"base must be one of .* got 'clahe'"),
    ],
)
def test_options_that_do_not_fit_stop_before_anything_slow(
    seg: tuple[Config, str], tmp_path: Path, measured: list[str], settings: dict, word: str
) -> None:
    with pytest.raises(ConfigError, match=word):
        compare(*seg, ['none', 'gamma'], work_dir=tmp_path / 'work', **settings)
    assert measured == []
    assert not (tmp_path / 'work').exists()


def test_an_unknown_metric_stops_at_the_first(
    seg: tuple[Config, str], tmp_path: Path, measured: list[str]
) -> None:
    with pytest.raises(ConfigError, match="no metric 'mAP'; there are aAcc,"):
        compare(*seg, ['none', 'gamma'], metric='mAP', work_dir=tmp_path, **PLAIN)
    assert measured == ['none']


def test_a_report_needs_jinja(
    seg: tuple[Config, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, 'jinja2', None)
    with pytest.raises(MissingDependencyError, match='--no-report'):
        compare(*seg, ['none'], work_dir=tmp_path)


@pytest.mark.parametrize('base', [None, 'a-1'])
def test_several_trainings_are_one_line(
    seg: tuple[Config, str], tmp_path: Path, base: str | None
) -> None:
    torch.manual_seed(0)
    content = torch.load(seg[1], weights_only=True)
    paths = {}
    for label in ('a-0', 'a-1', 'b-0', 'b-1'):
        for value in content['state_dict'].values():
            if value.is_floating_point():
                value += 0.02 * torch.randn_like(value)
        paths[label] = str(tmp_path / f'{label}.pth')
        torch.save(content, paths[label])
    models = {label: ModelSource(seg[0], path) for label, path in paths.items()}
    settings: dict[str, Any] = dict(models=models, base=base, resamples=50, work_dir=tmp_path / 'w')
    found = compare(*seg, ['none'], **settings)
    rows = rows_of(found)[0]
    if base is None:
        assert rows.base.variant == 'none'
        assert list(rows.analyses) == ['a (mean of 2)', 'b (mean of 2)']
    else:
        assert rows.base.variant == 'a (mean of 2)'
        assert set(rows.analyses) == {'none', 'b (mean of 2)'}
    tested = rows.analyses['b (mean of 2)'].seeds
    assert tested is not None
    assert tested.names == ['b-0', 'b-1']
    each = {result.variant: result for result in found.results}
    values = [each[name].metrics['mIoU'] for name in tested.names]
    assert each['b (mean of 2)'].metrics['mIoU'] == pytest.approx(np.mean(values))
    assert tested.values == pytest.approx(values, abs=0.01)
    if base is not None:
        wanted = [each[name].metrics['mIoU'] for name in ('a-0', 'a-1')]
        assert tested.bases == pytest.approx(wanted, abs=0.01)
    assert each['b-0'].analysis is None
    text = (tmp_path / 'w' / 'comparison.md').read_text()
    assert '## Single trainings' in text
    again = compare(*seg, ['none'], resume=True, **settings)
    assert tell_comparison(again) == tell_comparison(found)
