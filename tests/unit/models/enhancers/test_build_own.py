"""Enhancers of one's own: named by their module, saved, and built again."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sci_plugins import BaseEnhancer, build_enhancer, enhance, save_enhancer
from sci_plugins.errors import CheckpointError, ConfigError
from sci_plugins.models.enhancers.base import arguments_of, type_name
from sci_plugins.models.enhancers.export import building_of
from sci_plugins.models.enhancers.weights import config_of_weights

CODE = """
import torch
from torch import nn

from sci_plugins import BaseEnhancer


class MyEnhancer(BaseEnhancer):
    def __init__(self, gain=2.0, channels=4):
        super().__init__()
        self.boost = gain  # under another name
        # The authors' names of layers, which are ours here.
        self.conv = nn.Sequential(nn.Conv2d(3, channels, 1), nn.BatchNorm2d(channels))
        self.out_conv = nn.Sequential(nn.Conv2d(channels, 3, 1))

    def forward(self, image):
        return (self.boost * image + 0.1 * self.out_conv(self.conv(image))).clamp(0, 1)


class Curve(BaseEnhancer):
    def __init__(self, *, steps=1, **options):
        super().__init__()
        self.exponent = nn.Parameter(torch.tensor(float(steps)))

    def forward(self, image):
        return image**self.exponent


class Loader(MyEnhancer):
    def __init__(self, channels=4, weights=None):
        super().__init__(3.0, channels)
        if weights is not None:
            from sci_plugins.models.enhancers import load_enhancer_weights
            load_enhancer_weights(self, weights)


class Around(BaseEnhancer):
    def __init__(self, inner, table=None):
        super().__init__()
        self.inner = inner

    def forward(self, image):
        return self.inner(image)


class Plain(BaseEnhancer):
    def __init__(self, gain=2):
        super().__init__()
        self.boost = gain

    def forward(self, image):
        return image


class Broken(BaseEnhancer):
    def __init__(self):
        raise ValueError('a value\\nthat is wrong')

    def forward(self, image):
        return image
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A user's file, on Python's path."""
    (tmp_path / 'own_file.py').write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    import own_file  # type: ignore[import-not-found]

    yield own_file
    del sys.modules['own_file']


def _same(one: BaseEnhancer, other: BaseEnhancer) -> bool:
    image = torch.rand(1, 3, 9, 11)
    with torch.no_grad():
        return torch.equal(one.eval()(image), other.eval()(image))


def test_by_name(module: Any) -> None:
    named = build_enhancer('own_file.MyEnhancer(gain=3, channels=2)')
    assert type(named) is module.MyEnhancer
    assert (named.boost, named.out_conv[0].in_channels) == (3, 2)
    for plain in ('own_file.MyEnhancer', 'own_file.MyEnhancer()', dict(type='own_file.MyEnhancer')):
        assert build_enhancer(plain).boost == 2
    assert build_enhancer('gated/own_file.MyEnhancer(gain=3)').enhancer.boost == 3


def test_weights_are_saved_and_loaded(module: Any, tmp_path: Path) -> None:
    """With the constructor's arguments, which the class need not keep."""
    path = tmp_path / 'mine.pth'
    donor = module.MyEnhancer(3, channels=8)
    save_enhancer(donor, path, steps=7, channels='red', type='x', arguments=3)
    meta = torch.load(path, weights_only=True)['meta']
    assert meta['type'] == 'own_file.MyEnhancer'
    assert meta['arguments'] == dict(gain=3, channels=8)
    for text in (f"own_file.MyEnhancer(weights='{path}')", f'sci/{path}'):
        twin = build_enhancer(text)
        assert type(twin) is module.MyEnhancer
        assert twin.boost == 3
        assert _same(twin, donor)
    assert build_enhancer(f"own_file.MyEnhancer(gain=1, weights='{path}')").boost == 1
    with pytest.raises(CheckpointError, match=r'wrong architecture: conv\.0\.weight has shape'):
        build_enhancer(f"own_file.MyEnhancer(channels=4, weights='{path}')")
    gated = build_enhancer(f'gated/sci/{path}')
    save_enhancer(gated, path)
    assert _same(build_enhancer(f'sci/{path}'), donor)


def test_one_without_weights_is_saved_too(module: Any, tmp_path: Path) -> None:
    path = tmp_path / 'mine.pth'
    save_enhancer(module.Plain(gain=3), path)
    for text in (f"own_file.Plain(weights='{path}')", f'sci/{path}'):
        twin = build_enhancer(text)
        assert type(twin) is module.Plain
        assert twin.boost == 3


@pytest.mark.parametrize(
    ('arguments', 'problem'),
    [
        (
            dict(channels=10**9),
            'its recipe says channels=1000000000: such a MyEnhancer has more values than the file',
        ),
        (
            dict(channels=20_000),
            'its recipe says channels=20000: such a MyEnhancer has more values than the file',
        ),
        (dict(gain=torch.ones(1)), 'meta.gain must be plain data, not Tensor'),
        (dict(gain=[1, {'a': torch.ones(1)}]), 'meta.gain must be plain data, not list'),
        ([3], 'meta.arguments must be a dict, not list'),
    ],
)
def test_a_recipe_that_the_file_cannot_hold(
    module: Any, tmp_path: Path, arguments: Any, problem: str
) -> None:
    path = tmp_path / 'mine.pth'
    save_enhancer(module.MyEnhancer(), path)
    content = torch.load(path, weights_only=True)
    content['meta']['arguments'] = arguments
    torch.save(content, path)
    for text in (f"own_file.MyEnhancer(weights='{path}')", f'sci/{path}'):
        with pytest.raises(CheckpointError, match=problem) as caught:
            build_enhancer(text)
        assert str(caught.value).startswith(f'cannot load {path}: ')


def test_a_large_number_that_is_no_size(module: Any, tmp_path: Path) -> None:
    path = tmp_path / 'mine.pth'
    save_enhancer(module.MyEnhancer(gain=10**9), path)
    assert build_enhancer(f"own_file.MyEnhancer(weights='{path}')").boost == 10**9


def test_a_class_that_was_edited_is_used_as_it_is_now(module: Any, tmp_path: Path) -> None:
    """As in a notebook: ``enhance`` caches no class from outside."""
    image = torch.full((3, 4, 4), 0.1)
    first = enhance(image, 'own_file.Curve')
    code = CODE.replace('image**self.exponent', '0 * image')
    (tmp_path / 'own_file.py').write_text(code)
    importlib.reload(module)
    assert first.max() > 0
    assert enhance(image, 'own_file.Curve').max() == 0


def test_a_parameter_of_its_own(module: Any, tmp_path: Path) -> None:
    path = tmp_path / 'mine.pth'
    donor = module.Curve(steps=3, note='x')
    with torch.no_grad():
        donor.exponent.fill_(0.4)
    save_enhancer(donor, path)
    twin = build_enhancer(f"own_file.Curve(weights='{path}')")
    assert arguments_of(twin) == dict(steps=3)
    assert _same(twin, donor)


def test_a_class_that_loads_its_weights_itself(module: Any, tmp_path: Path) -> None:
    path = tmp_path / 'mine.pth'
    donor = module.Loader(channels=2)
    save_enhancer(donor, path)
    assert building_of(donor)['arguments'] == dict(channels=2)
    assert _same(build_enhancer(f"own_file.Loader(weights='{path}')"), donor)


def test_a_file_imports_nothing(module: Any, tmp_path: Path) -> None:
    path = tmp_path / 'mine.pth'
    save_enhancer(module.MyEnhancer(), path)
    content = torch.load(path, weights_only=True)
    content['meta']['type'] = 'never_imported.MyEnhancer'
    torch.save(content, path)
    (tmp_path / 'never_imported.py').write_text('raise SystemExit')
    with pytest.raises(ConfigError) as caught:
        config_of_weights(str(path))
    message = str(caught.value)
    assert f'{path} holds weights of never_imported.MyEnhancer, which is not imported' in message
    assert f'"never_imported.MyEnhancer(weights=\'{path}\')"' in message
    assert 'never_imported' not in sys.modules


def test_what_could_not_be_built_again_is_refused(module: Any, tmp_path: Path) -> None:
    saved = module.Around(module.MyEnhancer(gain=5), table=[1, (2.5, None)])
    inner = dict(type='own_file.MyEnhancer', gain=5, channels=4)
    assert building_of(saved)['arguments'] == dict(inner=inner, table=[1, [2.5, None]])
    for table in (object(), np.zeros(3), [torch.nn.ReLU()], dict(a=len)):
        with pytest.raises(ConfigError, match='argument table must be plain data') as caught:
            save_enhancer(module.Around(saved.inner, table), tmp_path / 'a.pth')
        assert '\n' not in str(caught.value)
    assert not (tmp_path / 'a.pth').exists()


def test_numpy_numbers_are_plain(module: Any, tmp_path: Path) -> None:
    save_enhancer(module.MyEnhancer(np.float64(1.5), np.int64(2)), tmp_path / 'a.pth')
    meta = torch.load(tmp_path / 'a.pth', weights_only=True)['meta']
    assert meta['arguments'] == dict(gain=1.5, channels=2)


def test_names_of_classes(module: Any) -> None:
    class Local(BaseEnhancer):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image

    assert type_name(module.MyEnhancer) == 'own_file.MyEnhancer'
    assert type_name(type(build_enhancer('gamma'))) == 'sci_plugins.GammaEnhancer'
    assert type_name(Local).endswith('test_names_of_classes.<locals>.Local')
    assert arguments_of(Local()) == {}


@pytest.mark.parametrize('place', [dict(__module__='__main__'), dict(__qualname__='f.<locals>.X')])
def test_a_class_that_no_file_holds_is_not_saved(
    module: Any, tmp_path: Path, place: dict[str, str]
) -> None:
    kind = type('X', (module.MyEnhancer,), dict(__module__='own_file') | place)
    with pytest.raises(ConfigError, match='define the class in a file of its own'):
        save_enhancer(kind(), tmp_path / 'a.pth')
    assert not (tmp_path / 'a.pth').exists()


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('nowhere.MyEnhancer(gain=3)', ["unknown enhancer type 'nowhere.MyEnhancer'", 'my_file']),
        ('own_file.Nothing()', ["unknown enhancer type 'own_file.Nothing'"]),
        ('own_file.torch', ['unknown enhancer type']),
        ('own_file.MyEnhancer(gian=3)', ['MyEnhancer', "unexpected keyword argument 'gian'"]),
        ('own_file.Broken()', ['Broken: a value']),
        ('own_file.BaseEnhancer', ['abstract']),
        ('bad_file.X()', ['cannot import bad_file: SyntaxError']),
        (
            'needy_file.X()',
            ["cannot import needy_file: ModuleNotFoundError: No module named 'zzz'"],
        ),
    ],
)
def test_mistakes(module: Any, tmp_path: Path, text: str, words: list[str]) -> None:
    (tmp_path / 'bad_file.py').write_text('def')
    (tmp_path / 'needy_file.py').write_text('import zzz')
    with pytest.raises(ConfigError) as caught:
        build_enhancer(text)
    assert all(word in str(caught.value) for word in words), caught.value
    assert '\n' not in str(caught.value)
