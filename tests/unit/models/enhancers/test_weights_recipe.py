"""A file of weights says, or shows, which enhancer it fits."""

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sci_plugins.errors import CheckpointError, ConfigError
from sci_plugins.models.enhancers import (
    BaseEnhancer,
    CLAHEEnhancer,
    GammaEnhancer,
    GatedEnhancer,
    RUASEnhancer,
    SCIEnhancer,
    build_enhancer,
    parse_enhancer,
)
from sci_plugins.models.enhancers.export import save_enhancer
from sci_plugins.models.enhancers.weights import config_of_weights, weights_name

SCI = 'sci_plugins.SCIEnhancer'


def _same(one: BaseEnhancer, other: BaseEnhancer) -> bool:
    image = torch.rand(1, 3, 9, 11)
    with torch.no_grad():
        return torch.equal(one.eval()(image), other.eval()(image))


@pytest.mark.parametrize(
    'donor',
    [
        SCIEnhancer(),
        SCIEnhancer(layers=3, channels=8),
        SCIEnhancer(layers=0),
        SCIEnhancer(layers=0, channels=None),
        RUASEnhancer(iterations=1, channels=8),
        GammaEnhancer(2),
        CLAHEEnhancer(4.0, (2, 3)),
    ],
    ids=repr,
)
def test_a_file_of_ours_is_built_as_it_was(donor: BaseEnhancer, tmp_path: Path) -> None:
    path = tmp_path / 'enhancer.pth'
    save_enhancer(donor, path)
    twin = build_enhancer(f'sci/{path}')
    assert type(twin) is type(donor)
    assert repr(twin) == repr(donor)
    assert _same(twin, donor)


def test_behind_a_gate(tmp_path: Path) -> None:
    path = tmp_path / 'enhancer.pth'
    donor = SCIEnhancer(layers=2, channels=16)
    save_enhancer(donor, path)
    gated = build_enhancer(f'gated/sci/{path}')
    assert isinstance(gated, GatedEnhancer)
    assert _same(gated.enhancer, donor)
    save_enhancer(gated, path)  # the gate's own numbers do not get in the way
    assert _same(build_enhancer(f'sci/{path}'), donor)
    with pytest.raises(CheckpointError, match='it has layers=2, the enhancer layers=1'):
        SCIEnhancer(channels=16, weights=str(path))


def test_the_authors_layout_shows_its_sizes(
    save: Callable, authors_entries: Callable[..., dict[str, Tensor]]
) -> None:
    path = save(authors_entries(layers=3, channels=8))
    assert config_of_weights(path) == dict(type=SCI, weights=path, layers=3, channels=8)
    assert isinstance(build_enhancer(f'sci/{path}'), SCIEnhancer)


def test_a_host_s_checkpoint_shows_the_width(save: Callable) -> None:
    state = SCIEnhancer(channels=8).state_dict(prefix='data_preprocessor.enhancer.')
    state['backbone.in_conv.weight'] = torch.zeros(5, 3, 1, 1)
    path = save(dict(state_dict=state, meta=dict(epoch=3, cfg='model = ...')))
    assert config_of_weights(path) == dict(type=SCI, weights=path, channels=8)


def test_defaults_are_not_repeated(save: Callable, tmp_path: Path) -> None:
    plain = save(SCIEnhancer().state_dict())
    for name in (plain, 'official/medium', 'sci_plugins/lol'):
        assert config_of_weights(name) == dict(type=SCI, weights=name)


def test_official_files_are_not_looked_for(clean_sources: Path) -> None:
    """Naming them must not fetch them."""
    config_of_weights('official/easy')
    assert not clean_sources.exists()


@pytest.mark.parametrize(
    'content',
    [
        b'damaged',
        dict(state_dict=dict(other=torch.zeros(1)), meta={}),
        dict(state_dict={}, meta=dict(type='os.system', data='x')),
        [1, 2],
    ],
)
def test_what_is_not_understood_is_left_to_the_loader(
    content: Any, tmp_path: Path, save: Callable
) -> None:
    path = str(tmp_path / 'weights.pth')
    if isinstance(content, bytes):
        Path(path).write_bytes(content)
    else:
        save(content)
    assert config_of_weights(path) == dict(type=SCI, weights=path)
    with pytest.raises(CheckpointError, match=r'weights\.pth'):
        build_enhancer(f'sci/{path}')


def test_a_type_in_a_file_is_no_code(save: Callable) -> None:
    """Only our own estimators are built by a name that a file gives."""
    state = SCIEnhancer(channels=8).state_dict()
    path = save(dict(state_dict=state, meta=dict(type='torch.nn.Conv2d', channels=8)))
    assert config_of_weights(path) == dict(type=SCI, weights=path, channels=8)


RUAS = 'sci_plugins.RUASEnhancer'
ONE = torch.ones(1)


@pytest.mark.parametrize(
    ('meta', 'problem'),
    [
        (3, 'meta must be a dict, not int'),
        ([1, 2], 'meta must be a dict, not list'),
        (ONE, 'meta must be a dict, not Tensor'),
        (dict(type=3), 'meta.type must be text, not int'),
        (dict(type=[SCI]), 'meta.type must be text, not list'),
        (dict(type=SCI, arguments=[3]), 'meta.arguments must be a dict, not list'),
        (dict(type=SCI, arguments='x'), 'meta.arguments must be a dict, not str'),
        (dict(type=SCI, layers=[1]), 'meta.layers must be plain data, not list'),
        (dict(type=SCI, layers=ONE), 'meta.layers must be plain data, not Tensor'),
        (dict(type=SCI, arguments=dict(channels={})), 'meta.channels must be plain data, not dict'),
        (dict(type=SCI, arguments=dict(channels=1j)), 'must be plain data, not complex'),
        (
            dict(type=SCI, layers='many'),
            "its recipe says layers='many': SCIEnhancer: layers must be an int",
        ),
        (
            dict(type=SCI, layers='a\nb'),
            r"its recipe says layers='a\\nb': SCIEnhancer: layers must",
        ),
        (dict(type=SCI, layers='x' * 10**6), "its recipe says layers='xxx"),
        (
            dict(type=SCI, layers=-1),
            'its recipe says layers=-1: SCIEnhancer: layers must be at least 0',
        ),
        (
            dict(type=SCI, layers=1.5),
            'its recipe says layers=1.5: SCIEnhancer: layers must be an int',
        ),
        (
            dict(type=SCI, layers=10**9),
            'its recipe says layers=1000000000: SCIEnhancer: layers must be at most 100',
        ),
        (
            dict(type=SCI, channels=10**9),
            'its recipe says channels=1000000000: RuntimeError|channels=1',
        ),
        (
            dict(type=SCI, channels=1000),
            'channels=1000: such a SCIEnhancer has more values than the file',
        ),
        (dict(type=SCI, arguments=dict(channels=10**300)), 'its recipe says channels=1000'),
        (dict(type=RUAS, channels=10**9), 'its recipe says channels=1000000000'),
        (
            dict(type=RUAS, iterations=10**9),
            'its recipe says iterations=1000000000: RUASEnhancer: iterations must be at most 100',
        ),
        (dict(type=RUAS, iterations=ONE), 'meta.iterations must be plain data, not Tensor'),
        (
            dict(
                type='sci_plugins.GatedEnhancer', arguments=dict(enhancer=dict(type=SCI, layers=[]))
            ),
            'meta.layers must be plain data, not list',
        ),
        (dict(type='x' * 10**6, arguments={}), 'holds weights of xxx'),
        (dict(type='a\x1b[2J.X', arguments={}), r'holds weights of .a\\x1b'),
    ],
)
def test_recipes_that_no_enhancer_has(save: Callable, meta: Any, problem: str) -> None:
    """One line that says which entry, and no room is made for what it asks for."""
    path = save(dict(state_dict=SCIEnhancer().state_dict(), meta=meta))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises((CheckpointError, ConfigError), match=problem) as caught:
        build_enhancer(f'sci/{path}')
    message = str(caught.value)
    assert path in message
    assert message.isprintable()
    assert len(message) < 700
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


@pytest.mark.parametrize('shape', [(), (0,), (3,), (10**9, 0, 3, 3), (4_000_000, 1, 1, 1)])
def test_shapes_that_no_enhancer_has(save: Callable, shape: tuple[int, ...]) -> None:
    state = SCIEnhancer().state_dict() | {'in_conv.weight': torch.zeros(()).expand(shape)}
    path = save(dict(sorted(state.items(), key=lambda item: item[0] != 'in_conv.weight')))
    with pytest.raises(CheckpointError, match=r'in_conv|channels') as caught:
        build_enhancer(f'sci/{path}')
    assert path in str(caught.value)


@pytest.mark.parametrize(
    ('text', 'name'),
    [
        ('sci/official/medium', 'official/medium'),
        ('gated/sci/official/medium', 'official/medium'),
        ('gated/gamma', None),
        ('clahe', None),
    ],
)
def test_the_weights_that_a_name_loads(text: str, name: str | None) -> None:
    assert weights_name(parse_enhancer(text)) == name
