"""Naming an enhancer: every form, every mistake."""

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import ConfigDict
from torch import nn

from sci_plugins.errors import ConfigError
from sci_plugins.models.enhancers import (
    BaseEnhancer,
    CLAHEEnhancer,
    GammaEnhancer,
    GatedEnhancer,
    HistogramEqualizationEnhancer,
    IdentityEnhancer,
    SCIEnhancer,
    build_enhancer,
    parse_enhancer,
)
from sci_plugins.models.enhancers.weights import weights_name


@pytest.mark.parametrize(
    ('text', 'cls', 'settings'),
    [
        ('none', IdentityEnhancer, {}),
        (' none ', IdentityEnhancer, {}),
        ('gamma', GammaEnhancer, dict(gamma=1 / 2.2)),
        ('gamma/0.4', GammaEnhancer, dict(gamma=0.4)),
        ('gamma/2', GammaEnhancer, dict(gamma=2.0)),
        ('clahe', CLAHEEnhancer, dict(clip_limit=2.0)),
        ('histeq', HistogramEqualizationEnhancer, {}),
        ('gated/gamma/0.4', GatedEnhancer, dict(dark=0.16, bright=0.25)),
        ('gated/CLAHEEnhancer(clip_limit=3.0)', GatedEnhancer, {}),
        ("GatedEnhancer(enhancer='gamma', dark=0.1)", GatedEnhancer, dict(dark=0.1)),
        ('SCIEnhancer()', SCIEnhancer, dict(channels=3, layers=1)),
        ('SCIEnhancer(channels=8, layers=2)', SCIEnhancer, dict(channels=8, layers=2)),
        ('sci_plugins.SCIEnhancer(channels=8)', SCIEnhancer, dict(channels=8)),
        ('CLAHEEnhancer(clip_limit=3.5, tile_grid=(4, 2))', CLAHEEnhancer,
         dict(clip_limit=3.5, tile_grid=(4, 2))),
    ],
)  # fmt: skip
def test_strings(text: str, cls: type, settings: dict) -> None:
    enhancer = build_enhancer(text)
    assert type(enhancer) is cls
    assert {key: getattr(enhancer, key) for key in settings} == settings


def test_the_default_of_python_use_is_there() -> None:
    """`sci_plugins.enhance(image)` names weights that come with the package."""
    from sci_plugins.apis.enhance import DEFAULT_ENHANCER

    enhancer = build_enhancer(DEFAULT_ENHANCER)
    assert isinstance(enhancer, SCIEnhancer)
    dark = torch.full((1, 3, 16, 16), 0.1)
    assert float(enhancer.eval()(dark).mean()) > 0.15


def test_sci_with_a_file(tmp_path: Path) -> None:
    donor = SCIEnhancer()
    path = tmp_path / 'some weights.pth'
    torch.save(donor.state_dict(), path)
    for name in (f'sci/{path}', f"SCIEnhancer(weights='{path}')"):
        twin = build_enhancer(name)
        assert torch.equal(twin.in_conv.weight, donor.in_conv.weight)


def test_sci_with_a_relative_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'runs').mkdir()
    torch.save(SCIEnhancer().state_dict(), 'runs/a.pth')
    assert isinstance(build_enhancer('sci/runs/a.pth'), SCIEnhancer)


def test_sci_passes_the_official_name_on() -> None:
    assert parse_enhancer('sci/official/medium') == dict(
        type='sci_plugins.SCIEnhancer', weights='official/medium'
    )


def test_a_gate_names_what_stands_behind_it() -> None:
    assert parse_enhancer('gated/sci/official/medium') == dict(
        type='sci_plugins.GatedEnhancer',
        enhancer=dict(type='sci_plugins.SCIEnhancer', weights='official/medium'),
    )
    twice = build_enhancer('gated/GammaEnhancer(gamma=0.5)')
    assert isinstance(twice, GatedEnhancer)
    assert isinstance(twice.enhancer, GammaEnhancer)
    assert twice.enhancer.gamma == 0.5


@pytest.mark.parametrize('wrap', [dict, ConfigDict])
def test_config_dicts(wrap: type) -> None:
    config = wrap(type='sci_plugins.SCIEnhancer', channels=8)
    enhancer = build_enhancer(config)
    assert isinstance(enhancer, SCIEnhancer)
    assert enhancer.channels == 8
    assert config == dict(type='sci_plugins.SCIEnhancer', channels=8)  # left as it was


def test_a_class_as_type() -> None:
    assert isinstance(build_enhancer(dict(type=GammaEnhancer, gamma=0.5)), GammaEnhancer)


def test_a_module_is_taken_as_it_is() -> None:
    enhancer = GammaEnhancer()
    assert build_enhancer(enhancer) is enhancer


def test_a_user_s_own_enhancer() -> None:
    from sci_plugins.registry import MODELS

    class Doubler(BaseEnhancer):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return (2 * image).clamp(0, 1)

    MODELS.register_module(module=Doubler, name='TestOnlyDoubler', force=True)
    try:
        enhancer = build_enhancer('TestOnlyDoubler()')
        assert float(enhancer(torch.full((1, 3, 1, 1), 0.3)).mean()) == pytest.approx(0.6)
    finally:
        del MODELS.module_dict['TestOnlyDoubler']


@pytest.mark.parametrize(
    'text',
    [
        '',
        'foo',
        'SCI',
        'sci',
        'sci/',
        'gamma/bright',
        'gamma/-1',
        'gamma/0',
        'clahe/4',
        'gated',
        'gated/',
        'gated/foo',
        'gated/sci',
        'GatedEnhancer()',
        "GatedEnhancer(enhancer='foo')",
        "GatedEnhancer(enhancer='gamma', dark=0.5, bright=0.2)",
        'none/x',
        'SCIEnhancer(3)',
        'SCIEnhancer(channels=8',
        'SCIEnhancer(channels=open("x"))',
        'SCIEnhancer(**{})',
        '__import__("os").system("x")()',
        'NoSuchEnhancer()',
        'no.such.module.Thing()',
        'SCIEnhancer(chanels=8)',
        "SCIEnhancer(channels='8')",
        'SCIEnhancer(layers=-1)',
        'SCIEnhancer(channels=True)',
        'SCILoss()',
        'os.getcwd()',
    ],
)
def test_mistakes_are_one_clear_line(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_enhancer(text)
    message = str(caught.value)
    assert message
    assert '\n' not in message
    if text.strip():
        # it names the thing that is wrong
        assert any(part in message for part in (text, text.split('(')[0], 'Enhancer'))


@pytest.mark.parametrize(
    'value',
    [
        {},
        dict(weights='official/medium'),
        dict(type='sci_plugins.Nothing'),
        dict(type='sci_plugins.SCIEnhancer', chanels=8),
        dict(type=nn.Conv2d, in_channels=3, out_channels=3, kernel_size=1),
        dict(type=3),
        nn.Conv2d(3, 3, 1),
        None,
        3,
        ['none'],
    ],
)
def test_other_mistakes(value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        build_enhancer(value)  # type: ignore[arg-type]
    assert '\n' not in str(caught.value)


def test_the_unknown_argument_is_named() -> None:
    with pytest.raises(ConfigError, match='chanels'):
        build_enhancer(dict(type='sci_plugins.SCIEnhancer', chanels=8))


def test_nothing_in_a_name_is_executed(tmp_path: Path) -> None:
    marker = tmp_path / 'marker'
    text = f'SCIEnhancer(weights=__import__("os").system("touch {marker}"))'
    with pytest.raises(ConfigError):
        build_enhancer(text)
    assert not marker.exists()


def test_missing_weights_name_the_file() -> None:
    with pytest.raises(FileNotFoundError, match=r'no/such/file\.pth'):
        build_enhancer('sci/no/such/file.pth')


@pytest.mark.parametrize('gates', [9, 2000])
def test_too_many_gates(gates: int) -> None:
    assert isinstance(build_enhancer('gated/' * 8 + 'gamma'), GatedEnhancer)
    with pytest.raises(ConfigError, match=f'at most 8 wrappers, got {gates} in'):
        parse_enhancer('gated/' * gates + 'gamma')


def test_a_config_that_is_nested_without_end() -> None:
    config: dict[str, Any] = dict(type='sci_plugins.GammaEnhancer')
    for _ in range(2000):
        config = dict(type='sci_plugins.GatedEnhancer', enhancer=config)
    with pytest.raises(ConfigError, match='recursion'):
        build_enhancer(config)


@pytest.mark.parametrize(
    'call',
    [
        'GammaEnhancer(type="x")',
        'GammaEnhancer(**{})',
        f'GammaEnhancer(gamma={"(" * 300}1{")" * 300})',
        f'GammaEnhancer(gamma={"[" * 5000}1{"]" * 5000})',
    ],
)
def test_calls_that_cannot_be_read(call: str) -> None:
    with pytest.raises(ConfigError, match=r'expected NAME\(key=value'):
        parse_enhancer(call)


def test_the_home_of_nobody() -> None:
    with pytest.raises(FileNotFoundError, match='weights not found: ~nouser/x'):
        build_enhancer('sci/~nouser/x')


def test_one_spelling_and_the_old_ones() -> None:
    spec = dict(type='sci_plugins.SCIEnhancer')
    forms = ['sci/sci_plugins/lol', 'sci_plugins/lol']
    forms += [dict(spec, weights=weights) for weights in list(forms)]
    states = [build_enhancer(form).state_dict() for form in forms]
    assert states[0]
    for state in states[1:]:
        assert all(torch.equal(value, state[name]) for name, value in states[0].items())
    assert {weights_name(parse_enhancer(form)) for form in forms[:2]} == {'sci_plugins/lol'}
    assert weights_name(forms[2]) == 'sci_plugins/lol'


@pytest.mark.parametrize(
    ('name', 'near'),
    [
        ('sci/offical/medium', 'official/medium'),
        ('sci/medium', 'official/medium'),
        ('sci/lol', 'sci_plugins/lol'),
        ('sci/sci_plugins/lo', 'sci_plugins/lol'),
        ('official/medum', 'official/medium'),
        ('offical/medium', 'sci/official/medium'),
        ('adaptiv', 'adaptive'),
        ('gama', 'gamma'),
    ],
)
def test_a_near_miss_is_named(name: str, near: str) -> None:
    with pytest.raises((ConfigError, FileNotFoundError), match='did you mean') as caught:
        build_enhancer(name)
    assert f'(did you mean {near}?)' in str(caught.value)
    assert '\n' not in str(caught.value)
