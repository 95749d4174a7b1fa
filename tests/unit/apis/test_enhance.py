"""Enhancing in one line of Python: every kind of image in, the same kind out."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import sci_plugins
from sci_plugins.errors import ConfigError, DataError
from sci_plugins.models.enhancers import BaseEnhancer, GammaEnhancer, SCIEnhancer


@pytest.fixture()
def photo(rng: np.random.Generator) -> np.ndarray:
    """``(9, 12, 3)`` uint8, dark, red above green above blue."""
    base = rng.integers(10, 40, (9, 12, 1))
    return np.concatenate([base * 2, base, base // 2], axis=2).astype(np.uint8)


def _gamma(array: np.ndarray) -> np.ndarray:
    """What gamma 0.5 makes of 8-bit values, truncated."""
    return np.floor(np.sqrt(array / 255.0) * 255 + 1e-4).astype(np.uint8)


GAMMA = 'gamma/0.5'


def test_an_8_bit_array(photo: np.ndarray) -> None:
    before = photo.copy()
    found = sci_plugins.enhance(photo, GAMMA)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, _gamma(photo))
    np.testing.assert_array_equal(photo, before)


def test_8_bit_values_are_truncated_not_rounded(photo: np.ndarray) -> None:
    exact = np.sqrt(photo / 255.0) * 255
    found = sci_plugins.enhance(photo, GAMMA)
    assert (found <= exact + 1e-4).all()
    assert (found != np.round(exact)).any()


def test_every_level_survives_the_identity() -> None:
    levels = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    np.testing.assert_array_equal(sci_plugins.enhance(levels, 'none'), levels)


@pytest.mark.parametrize('dtype', [np.float32, np.float64, np.float16])
def test_a_float_array(photo: np.ndarray, dtype: type) -> None:
    image = (photo / 255.0).astype(dtype)
    found = sci_plugins.enhance(image, GAMMA)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, np.sqrt(image.astype(float)), atol=1e-3)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.float16])
def test_a_tensor(dtype: torch.dtype, device: torch.device) -> None:
    for shape in [(3, 5, 7), (1, 3, 5, 7), (4, 3, 5, 7), (0, 3, 5, 7)]:
        image = torch.rand(shape).to(device, dtype)
        before = image.clone()
        found = sci_plugins.enhance(image, GAMMA)
        assert (found.shape, found.dtype, found.device) == (shape, dtype, image.device)
        torch.testing.assert_close(found.float(), image.float().sqrt(), rtol=0, atol=2e-3)
        assert torch.equal(image, before)
        assert not found.requires_grad


@pytest.mark.parametrize('mode', ['RGB', 'L', 'RGBA', 'P', 'CMYK', '1'])
def test_a_pil_image(photo: np.ndarray, mode: str) -> None:
    image = Image.fromarray(photo).convert(mode)
    found = sci_plugins.enhance(image, GAMMA)
    assert isinstance(found, Image.Image)
    assert (found.mode, found.size) == ('RGB', (12, 9))
    np.testing.assert_array_equal(np.asarray(found), _gamma(np.asarray(image.convert('RGB'))))


@pytest.mark.parametrize('mode', ['I;16', 'I', 'F'])
def test_a_deep_pil_image_is_not_clipped_to_white(mode: str) -> None:
    dtype = dict(zip(('I;16', 'I', 'F'), ('uint16', 'int32', 'float32'), strict=True))[mode]
    image = Image.fromarray(np.full((4, 4), 3000, dtype))
    assert image.mode == mode
    with pytest.raises(DataError, match='8 bits'):
        sci_plugins.enhance(image, GAMMA)


@pytest.mark.parametrize('kind', [str, Path])
def test_a_path(photo: np.ndarray, tmp_path: Path, kind: type) -> None:
    path = tmp_path / 'photo.png'
    Image.fromarray(photo).save(path)
    found = sci_plugins.enhance(kind(path), GAMMA)
    assert isinstance(found, Image.Image)
    np.testing.assert_array_equal(np.asarray(found), _gamma(photo))


def test_a_photograph_is_turned_upright(photo: np.ndarray, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held sideways
    path = tmp_path / 'photo.png'
    Image.fromarray(photo).save(path, exif=exif)
    found = sci_plugins.enhance(path, 'none')
    np.testing.assert_array_equal(np.asarray(found), np.rot90(photo, -1))


def test_the_default_brightens_and_needs_nothing(photo: np.ndarray) -> None:
    found = sci_plugins.enhance(photo)
    assert found.mean() > 1.2 * photo.mean()


def test_images_that_do_not_share_memory_layout(photo: np.ndarray) -> None:
    wanted = sci_plugins.enhance(photo, GAMMA)
    found = sci_plugins.enhance(photo[::-1, ::-1], GAMMA)[::-1, ::-1]
    np.testing.assert_allclose(found.astype(int), wanted, rtol=0, atol=1)  # one level


def test_a_slight_overshoot_is_clamped() -> None:
    image = np.full((2, 2, 3), 1.02, np.float32)
    image[0] = -0.01
    found = sci_plugins.enhance(image, GAMMA)
    assert (found[0] == 0).all()
    assert (found[1] == 1).all()


@pytest.mark.parametrize(
    ('image', 'word'),
    [
        (np.zeros(4, np.uint8), r'\(H, W, 3\)'),
        (np.zeros((4, 4, 2), np.uint8), r'\(H, W, 3\)'),
        (np.zeros((1, 1, 4, 4, 3), np.uint8), r'\(H, W, 3\)'),
        (np.zeros((0, 4, 3), np.uint8), r'\(3, 0, 4\)'),
        (np.zeros((4, 4, 3), bool), 'bool'),
        (np.zeros((4, 4, 3), object), 'object'),
        (np.zeros((4, 4, 3), np.int64), 'int64'),
        (np.zeros((4, 4, 3), '>u2'), 'uint16'),
        (np.zeros((4, 4, 3), np.uint16), 'uint16'),
        (np.full((4, 4, 3), np.nan), 'NaN'),
        (np.full((4, 4, 3), np.inf), 'infinite'),
        (np.full((4, 4, 3), 1e300), 'infinite'),
        (np.full((4, 4, 3), -1.5), 'before it is normalised'),
        (np.full((4, 4, 3), 128.0), 'divide by 255'),
        (torch.zeros(4, 4, 3), r'\(3, H, W\)'),
        (torch.zeros(4, 4), r'\(3, H, W\)'),
        (torch.zeros(3, 0, 4), r'\(3, 0, 4\)'),
        (torch.zeros(3, 4, 4, device='meta'), 'meta'),
        (torch.zeros(3, 4, 4).to_sparse(), 'sparse'),
        (torch.zeros(3, 4, 4, dtype=torch.int16), 'int16'),
        (torch.zeros(3, 4, 4, dtype=torch.complex64), 'complex64'),
        (Image.new('La', (4, 4)), "'La'"),
        (torch.full((3, 4, 4), float('nan')), 'NaN'),
        (torch.full((3, 4, 4), 255.0), '255'),
        ([[1, 2, 3]], 'list'),
        (None, 'NoneType'),
        (7, 'int'),
    ],
)
def test_what_is_no_image(image: Any, word: str) -> None:
    with pytest.raises(DataError, match=word) as caught:
        sci_plugins.enhance(image, GAMMA)
    assert '\n' not in str(caught.value)


def test_a_missing_file() -> None:
    with pytest.raises(FileNotFoundError, match=r'no/such\.png'):
        sci_plugins.enhance('no/such.png', GAMMA)


@pytest.mark.parametrize('content', [b'', b'no image', b'\x89PNG\r\n\x1a\n'])
def test_a_file_that_is_no_image(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / 'photo.png'
    path.write_bytes(content)
    with pytest.raises(DataError, match=r'photo\.png'):
        sci_plugins.enhance(path, GAMMA)


def test_an_unknown_enhancer(photo: np.ndarray) -> None:
    with pytest.raises(ConfigError, match='unknown enhancer'):
        sci_plugins.enhance(photo, 'magic')


@pytest.mark.parametrize('form', ['module', 'dict', 'name'])
def test_forms_of_naming_an_enhancer(photo: np.ndarray, form: str) -> None:
    given: Any = dict(
        module=GammaEnhancer(0.5),
        dict=dict(type='sci_plugins.GammaEnhancer', gamma=0.5),
        name=GAMMA,
    )[form]
    np.testing.assert_array_equal(sci_plugins.enhance(photo, given), _gamma(photo))


def test_a_user_s_module_is_left_as_it_was(photo: np.ndarray) -> None:
    enhancer = SCIEnhancer().train()
    enhancer.block_norm.eval()
    before = {key: value.clone() for key, value in enhancer.state_dict().items()}
    sci_plugins.enhance(photo, enhancer)
    assert enhancer.training
    assert not enhancer.block_norm.training
    assert all(parameter.requires_grad for parameter in enhancer.parameters())
    for key, value in enhancer.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_a_module_in_training_is_used_in_eval_mode(photo: np.ndarray) -> None:
    enhancer = SCIEnhancer()
    enhancer.block_norm.running_mean.fill_(-3)
    wanted = sci_plugins.enhance(photo, enhancer.eval())
    np.testing.assert_array_equal(sci_plugins.enhance(photo, enhancer.train()), wanted)


@pytest.mark.parametrize('mode', ['L', 'RGBA'])
def test_grey_and_rgba_arrays_are_as_pil_images(photo: np.ndarray, mode: str) -> None:
    image = Image.fromarray(photo).convert(mode)
    if mode == 'RGBA':
        image.putalpha(128)
    array, wanted = np.asarray(image), np.asarray(sci_plugins.enhance(image, GAMMA))
    forms = [array, array[None], array.astype(array.dtype.newbyteorder('>'))]
    if mode == 'L':
        forms = [array, array[..., None], array[None, ..., None]]
    for form in forms:
        found = sci_plugins.enhance(form, GAMMA)
        np.testing.assert_array_equal(found.reshape(wanted.shape), wanted)
        assert found.ndim == max(form.ndim, 3)


def test_batches_and_lists(photo: np.ndarray) -> None:
    batch = np.stack([photo, photo[::-1]])
    np.testing.assert_array_equal(sci_plugins.enhance(batch, GAMMA), _gamma(batch))
    found = sci_plugins.enhance([photo, Image.fromarray(photo), batch[1] / 255], GAMMA)
    assert [type(each) for each in found] == [np.ndarray, Image.Image, np.ndarray]
    np.testing.assert_array_equal(found[0], np.asarray(found[1]))
    np.testing.assert_allclose(found[2], np.sqrt(batch[1] / 255), atol=1e-3)
    assert sci_plugins.enhance([], GAMMA) == []


@pytest.mark.parametrize('dtype', ['>f4', '>f8', '<f4'])
def test_the_order_of_bytes_is_kept(photo: np.ndarray, dtype: str) -> None:
    found = sci_plugins.enhance((photo / 255).astype(dtype), GAMMA)
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_allclose(found, np.sqrt(photo / 255), atol=1e-3)


def test_an_8_bit_tensor_is_as_the_array(photo: np.ndarray) -> None:
    image = torch.from_numpy(photo).permute(2, 0, 1)
    found = sci_plugins.enhance(torch.stack([image, image]), GAMMA)
    assert found.dtype == torch.uint8
    np.testing.assert_array_equal(found[1].permute(1, 2, 0).numpy(), _gamma(photo))


def test_threads_share_a_module_in_training(photo: np.ndarray) -> None:
    """8 threads, 40 calls each: equal results, nothing of the module moves."""
    module = SCIEnhancer().train()
    module.block_norm.running_mean.fill_(-3)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    wanted = sci_plugins.enhance(photo, module)

    def work(_: int) -> int:
        found = [sci_plugins.enhance(photo, module) for _ in range(40)]
        return sum(np.array_equal(each, wanted) for each in found)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) == 320
    assert all(part.training for part in module.modules())
    for key, value in module.state_dict().items():
        assert torch.equal(value, before[key]), key
    module.out_conv.bias.data.fill_(3)  # what is changed later counts
    assert (sci_plugins.enhance(photo, module) != wanted).any()


class _Writing(BaseEnhancer):
    """Keeps what it saw, as a user's own may."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer('seen', torch.zeros(()))
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, image: Tensor) -> Tensor:
        self.seen += 1
        self.last = image
        return image * self.weight


def test_a_module_in_training_is_not_written_to(photo: np.ndarray) -> None:
    module = _Writing().train()
    np.testing.assert_array_equal(sci_plugins.enhance(photo, module), photo)
    assert module.seen == 0
    assert not hasattr(module, 'last')


def test_a_module_that_cannot_be_copied_says_so(photo: np.ndarray) -> None:
    module = _Writing().train()
    module.other = module.weight * 2
    with pytest.raises(ConfigError, match=r'cannot copy _Writing.*call its eval\(\) first'):
        sci_plugins.enhance(photo, module)
    sci_plugins.enhance(photo, module.eval())


class _Failing(BaseEnhancer):
    def forward(self, image: Tensor) -> Tensor:
        raise RuntimeError('no')


def test_the_mode_comes_back_after_an_error(photo: np.ndarray) -> None:
    enhancer = _Failing().train()
    with pytest.raises(RuntimeError, match='no'):
        sci_plugins.enhance(photo, enhancer)
    assert enhancer.training


def test_a_weight_file_that_changed_is_read_again(photo: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / 'own.pth'
    results = []
    for bias in (-2.0, 2.0):
        enhancer = SCIEnhancer()
        enhancer.out_conv.bias.data.fill_(bias)
        torch.save(enhancer.state_dict(), path)
        results.append(sci_plugins.enhance(photo, f'sci/{path}'))
    assert (results[0] != results[1]).any()


def test_names_that_cannot_change_are_built_once(
    photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sci_plugins.apis import enhance as function
    from sci_plugins.apis.enhance import DEFAULT_ENHANCER

    function(photo, DEFAULT_ENHANCER)
    monkeypatch.setattr(torch, 'load', None)
    function(photo, DEFAULT_ENHANCER)


DTYPES = (
    'u1', 'i1', 'u2', '>u2', 'i4', 'i8', 'f2', 'f4', '>f4', 'f8', 'g', 'c8', '?', 'O', 'S3',
    'M8[s]',
)  # fmt: skip
TENSORS = (
    torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int64, torch.float16, torch.bfloat16,
    torch.float32, torch.float64, torch.float8_e4m3fn, torch.complex64, torch.bool,
)  # fmt: skip
SHAPES: list[tuple[int, ...]] = [
    (), (3,), (4, 4), (4, 4, 1), (4, 4, 2), (4, 4, 3), (4, 4, 4), (3, 4, 4), (2, 4, 4, 3),
    (2, 3, 4, 4), (2, 4, 4, 1), (0, 4, 3), (4, 0, 3), (3, 0, 4), (0, 4, 4, 3), (0, 3, 4, 4),
    (1, 1), (1, 1, 3), (2, 2, 2, 2, 3),
]  # fmt: skip


def _is_enhanced(image: Any) -> bool:
    try:
        found = sci_plugins.enhance(image, GAMMA)
    except DataError as error:
        return '\n' in str(error)  # which is then a mistake
    return bool(found.dtype == image.dtype)


@pytest.mark.parametrize('shape', SHAPES, ids=str)
def test_whatever_comes_is_enhanced_or_refused_in_one_line(shape: tuple[int, ...]) -> None:
    """Some 500 kinds of images; none gives another error."""
    arrays = [np.zeros(shape, dtype) for dtype in DTYPES]
    tensors = [torch.zeros(shape).to(dtype) for dtype in TENSORS]
    has_area = 0 not in shape[-3:]
    is_array = len(shape) == 2 or (len(shape) in (3, 4) and shape[-1] in (1, 3, 4))
    is_tensor = len(shape) in (3, 4) and shape[-3] == 3 and 0 not in shape[-2:]
    assert sum(map(_is_enhanced, arrays)) == 6 * (is_array and has_area)
    assert sum(map(_is_enhanced, tensors)) == 6 * is_tensor
