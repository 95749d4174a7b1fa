"""What is compared: variants of the first model, and other trained models."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config

from sci_plugins.apis.compare import ModelSource, compare, contenders, parse_models
from sci_plugins.apis.compare.about import _steps_in
from sci_plugins.apis.compare.contenders import Contenders, View, build_model
from sci_plugins.errors import CheckpointError, ConfigError
from sci_plugins.evaluation.conditions import Condition
from sci_plugins.models.test_time import RawEnhancedMerge, RawEnhancedSelect


@pytest.mark.parametrize('kind', ['other model', 'other classes', 'part', 'nothing'])
def test_a_checkpoint_that_does_not_fit(seg: tuple[Config, str], tmp_path: Path, kind: str) -> None:
    """MMEngine would warn in its log and evaluate random weights."""
    state = torch.load(seg[1], weights_only=True)['state_dict']
    if kind == 'other model':
        state = {f'bbox_head.{key}': value for key, value in state.items()}
    elif kind == 'other classes':
        state['decode_head.conv_seg.weight'] = torch.zeros(19, 8, 1, 1)
    elif kind == 'part':
        del state['decode_head.conv_seg.bias']
    path = tmp_path / 'other.pth'
    torch.save(dict(state_dict=state if kind != 'nothing' else None), path)
    with pytest.raises(CheckpointError) as caught:
        compare(seg[0], str(path), ['none'], work_dir=tmp_path / 'work')
    message = str(caught.value)
    assert str(path) in message
    assert '\n' not in message
    if kind in ('other classes', 'part'):
        assert 'decode_head.conv_seg' in message
    assert not (tmp_path / 'work').exists()


def test_checkpoints_with_more_in_them_are_fine(seg: tuple[Config, str], tmp_path: Path) -> None:
    state = torch.load(seg[1], weights_only=True)['state_dict']
    state = {f'module.{key}': value for key, value in state.items()}
    state['module.auxiliary_head.conv.weight'] = torch.zeros(1)
    torch.save(dict(state_dict=state), tmp_path / 'more.pth')
    more = compare(seg[0], str(tmp_path / 'more.pth'), ['none'], work_dir=tmp_path, pictures=0)
    plain = compare(*seg, ['none'], work_dir=tmp_path / 'plain', pictures=0)
    assert more.results[0].metrics == plain.results[0].metrics


def _contenders(source: tuple[Config, str], variants: list, **settings: Any) -> Contenders:
    return Contenders(ModelSource(*source), variants, **settings)


def test_the_base_comes_first(seg: tuple[Config, str]) -> None:
    models = dict(other=ModelSource(*seg))
    names = ['none', 'gamma', 'clahe']
    assert _contenders(seg, names, models=models).names == [*names, 'other']
    found = _contenders(seg, names, models=models, base='other')
    assert found.names == ['other', *names]
    assert found.base == 'other'
    assert [found.model_of(name) for name in found.names] == ['other', '', '', '']
    assert _contenders(seg, [], models=models).base == 'other'  # the models alone


@pytest.mark.parametrize(
    ('variants', 'settings', 'word'),
    [
        (['none'], dict(base='gamma'), r"\(none\), got 'gamma'"),
        (['none', 'gamma', 'none'], {}, 'duplicate names among variants and models: none'),
        (['none', 'x'], dict(models=['x']), 'duplicate names among variants and models: x'),
        (['none', 'merge'], {}, "'merge' needs an enhancer in the data_preprocessor"),
        (['merge(magic)'], {}, "unknown enhancer 'magic'"),
        (['before(magic)'], {}, "unknown enhancer 'magic'"),
        (['before'], {}, "unknown enhancer 'before'"),
        (['merge(before(magic))'], {}, "unknown enhancer 'magic'"),
        (['none', 'merge()'], {}, "unknown enhancer type 'sci_plugins.merge'"),
        (['before(merge(gamma))'], {}, r"cannot read enhancer 'merge\(gamma\)'"),
        (['none', 'select'], {}, "'select' needs an enhancer in the data_preprocessor"),
    ],
)
def test_names_that_do_not_fit(
    seg: tuple[Config, str], variants: list, settings: dict, word: str
) -> None:
    models = {label: ModelSource(*seg) for label in settings.pop('models', [])}
    with pytest.raises(ConfigError, match=word) as caught:
        _contenders(seg, variants, models=models, **settings)
    assert '\n' not in str(caught.value)


def test_detectors_are_merged_too(det: tuple[Config, str]) -> None:
    found = _contenders(det, ['none', 'merge(gamma/0.4)'])
    assert isinstance(found.open('merge(gamma/0.4)'), RawEnhancedMerge)


def test_each_variant_has_its_own_in_front(seg: tuple[Config, str]) -> None:
    found = _contenders(seg, ['none', 'gamma/0.4', 'merge(gamma/0.4)'])
    assert not hasattr(found.open('none').data_preprocessor, 'enhancer')
    assert found.open('gamma/0.4').data_preprocessor.enhancer.gamma == 0.4
    merged = found.open('merge(gamma/0.4)')
    assert isinstance(merged, RawEnhancedMerge)
    assert merged.data_preprocessor.enhancer.gamma == 0.4
    assert not merged.training
    assert not hasattr(found.open('none').data_preprocessor, 'enhancer')
    assert found.enhancer_name('merge(gamma/0.4)') == 'gamma/0.4'
    assert found.enhancer_name('none') is None


def _two_keys(cfg: Config, **settings: Any) -> Config:
    cfg = copy.deepcopy(cfg)
    kind = dict(mmseg='SegDataPreProcessor', mmdet='DetDataPreprocessor')
    name = f'sci_plugins.Enhanced{kind[cfg.default_scope]}'
    cfg.model.data_preprocessor.merge(dict(type=name, enhancer='gamma/0.3', **settings))
    return cfg


def test_before_the_resize(seg: tuple[Config, str]) -> None:
    found = _contenders(seg, ['none', 'before(gamma/0.4)'])
    plain, before = (found.config(name) for name in found.names)
    added = dict(
        type='sci_plugins.EnhanceImage', enhancer='gamma/0.4', input_order='bgr', input_max=255.0
    )
    steps = [cfg.test_dataloader.dataset.pipeline for cfg in (plain, before)]
    assert steps[1][:1] + steps[1][2:] == steps[0]
    assert steps[1][1] == added
    model = found.open('before(gamma/0.4)')
    assert type(model.data_preprocessor).__name__ == 'SegDataPreProcessor'
    assert found.enhancer_name('before(gamma/0.4)') == 'gamma/0.4'


def test_enhanced_before_the_resize_is_another_image(
    det: tuple[Config, str], tmp_path: Path
) -> None:
    """None before is none; gamma before, and dark images, give numbers of their own."""
    names = ['none', 'before(none)', 'before(gamma/0.4)']
    dark = [Condition(0.2)]
    found = compare(*det, names, conditions=dark, work_dir=tmp_path, pictures=1).results
    assert found[0].metrics == found[1].metrics
    assert found[2].analysis.gained or found[2].analysis.lost
    assert len(list((tmp_path / 'pictures').glob('*/*.jpg'))) == 1


@pytest.mark.parametrize('look', ['merge', 'select'])
def test_two_looks_before_the_resize(
    det: tuple[Config, str], seg: tuple[Config, str], look: str
) -> None:
    for source in (det, seg):
        name = f'{look}(before(gamma/0.4))'
        found = _contenders(source, ['none', name])
        plain, twice = (found.config(each).test_dataloader.dataset.pipeline for each in found.names)
        assert twice == [
            plain[0],
            dict(
                type='sci_plugins.RawAndEnhanced',
                enhancer='gamma/0.4',
                input_order='bgr',
                input_max=255.0,
                transforms=plain[1:],
            ),
        ]
        # The protocol tells their sizes.
        assert list(_steps_in([twice])) == [*twice, *plain[1:]]
        assert found.enhancer_name(name) == 'gamma/0.4'
        model = found.open(name)
        assert model.views
        assert not hasattr(model.data_preprocessor, 'enhancer')


def test_two_looks_at_what_both_ways_enhance(seg: tuple[Config, str], tmp_path: Path) -> None:
    """None before is none; both looks have the protocol and the light of the others."""
    names = ['none', 'merge(before(none))', 'before(gamma/0.4)', 'merge(before(gamma/0.4))']
    dark = [Condition(0.2)]
    found = compare(*seg, names, conditions=dark, work_dir=tmp_path, pictures=1, changed=1)
    none, nothing, before, merged = (each.metrics for each in found.results)
    assert nothing == none
    assert before != none
    assert merged not in (none, before)
    assert {each.protocol['scale'] for each in found.results} == {
        found.results[0].protocol['scale']
    }
    assert len(list((tmp_path / 'pictures').glob('*/*.jpg'))) == 1


def test_select_looks_twice(seg: tuple[Config, str]) -> None:
    found = _contenders(seg, ['none', 'select(gamma/0.4)'])
    assert isinstance(found.open('select(gamma/0.4)'), RawEnhancedSelect)


def test_merge_takes_what_the_config_has_in_front(seg: tuple[Config, str]) -> None:
    found = _contenders((_two_keys(seg[0]), seg[1]), ['none', 'merge'])
    assert found.open('merge').data_preprocessor.enhancer.gamma == 0.3


def test_how_the_images_come(seg: tuple[Config, str], det: tuple[Config, str]) -> None:
    assert _contenders(seg, ['none'], input_order='rgb').view('none') == View('rgb')
    assert _contenders(det, ['none']).view('none') == View('bgr', (114,) * 3)
    cfg = _two_keys(det[0], input_order='rgb', fill_color=None)
    models = dict(other=ModelSource(cfg, det[1]))
    found = _contenders((cfg, det[1]), ['none', 'config'], models=models)
    for name in ('none', 'config', 'other'):
        assert found.view(name) == View('rgb')
    found = _contenders(det, ['none', 'gamma'], models=models, input_order='rgb')
    assert found.view('gamma') == View('rgb', (114,) * 3)
    assert found.view('other') == View('rgb')


def test_a_preprocessor_with_branches(det: tuple[Config, str], tmp_path: Path) -> None:
    """Semi-supervised: the student's weights are the teacher's, so the numbers are the same."""
    cfg = copy.deepcopy(det[0])
    plain = cfg.model.to_dict()
    branches = dict(
        type='MultiBranchDataPreprocessor', data_preprocessor=plain.pop('data_preprocessor')
    )
    cfg.model = dict(
        type='SemiBaseDetector',
        detector=plain,
        data_preprocessor=branches,
        semi_train_cfg=dict(freeze_teacher=True),
        semi_test_cfg=dict(predict_on='teacher'),
    )
    state = torch.load(det[1], weights_only=True)['state_dict']
    both = {f'{part}.{key}': each for part in ('student', 'teacher') for key, each in state.items()}
    torch.save(dict(state_dict=both), tmp_path / 'both.pth')
    settings: Any = dict(variants=['none', 'gamma/0.4'], pictures=1, report=False)
    found = compare(cfg, str(tmp_path / 'both.pth'), work_dir=tmp_path / 'semi', **settings)
    wanted = compare(*det, work_dir=tmp_path / 'plain', **settings)
    values, theirs = (
        [result.metrics['coco/bbox_mAP'] for result in each.results] for each in (found, wanted)
    )
    assert values == theirs
    assert values[0] != values[1]


def test_16_bit_images_stay_so_in_every_variant(seg: tuple[Config, str]) -> None:
    configured = _contenders((_two_keys(seg[0], input_max=65535), seg[1]), ['config', 'gamma'])
    named = _contenders(seg, ['none', 'gamma'], input_max=65535)
    for found in (configured, named):
        for name in found.names:
            assert found.view(name) == View('bgr', None, 65535)
        assert found.open('gamma').data_preprocessor.input_max == 65535


def test_large_models_are_not_kept_beside_one_another(
    seg: tuple[Config, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    models = dict(a=ModelSource(*seg), b=ModelSource(*seg))
    found = _contenders(seg, ['none', 'gamma'], models=models)
    first = found.open('none')
    found.open('a')
    assert found.open('gamma') is first  # small: still there
    monkeypatch.setattr(contenders, '_KEPT_PARAMETERS', 10)
    found = _contenders(seg, ['none', 'gamma'], models=models)
    assert list(found._built) == ['b']
    first = found.open('gamma')
    found.open('a')
    assert list(found._built) == ['a']
    again = found.open('gamma')
    assert again is not first
    assert hasattr(again.data_preprocessor, 'enhancer')


def test_weights_of_a_model_that_do_not_fit_stop_at_once(
    seg: tuple[Config, str], det: tuple[Config, str]
) -> None:
    with pytest.raises(CheckpointError, match=r'tiny_detector\.pth'):
        _contenders(seg, ['none'], models=dict(a=ModelSource(seg[0], det[1])))


def test_a_model_of_its_own_weights_needs_no_checkpoint(seg: tuple[Config, str]) -> None:
    with pytest.raises(ConfigError, match=r'[\d,]+ parameters of EncoderDecoder would be random'):
        build_model(seg[0], 'none')


def test_models_of_the_command_line(seg: tuple[Config, str], tmp_path: Path) -> None:
    config, checkpoint = seg[0].filename, seg[1]
    found = parse_models([f'a={config},{checkpoint}', f'b={config},none'])
    assert list(found) == ['a', 'b']
    assert found['a'].cfg.model == seg[0].model
    assert (found['a'].checkpoint, found['b'].checkpoint) == (checkpoint, 'none')


@pytest.mark.parametrize(
    ('texts', 'error', 'word'),
    [
        (['a'], ConfigError, "LABEL=CONFIG,CHECKPOINT, got 'a'"),
        (['a=b.py'], ConfigError, 'LABEL=CONFIG,CHECKPOINT'),
        (['=b.py,c.pth'], ConfigError, 'LABEL=CONFIG,CHECKPOINT'),
        (['a=CONFIG,none', 'a=CONFIG,none'], ConfigError, 'duplicate label a'),
        (['a=no.py,none'], FileNotFoundError, r'config not found: no\.py'),
        (['a=CONFIG,no.pth'], FileNotFoundError, r'checkpoint of (model )?a not found: no'),
    ],
)
def test_mistyped_models(seg: tuple[Config, str], texts: list, error: type, word: str) -> None:
    with pytest.raises(error, match=word):
        parse_models([text.replace('CONFIG', seg[0].filename) for text in texts])
