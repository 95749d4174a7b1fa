"""Nothing in front of a model waits for a GPU: by pretence, and where there is one, by CUDA."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import torch
from mmengine.model.base_model import data_preprocessor
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException as DataDependent
from torch._subclasses.fake_tensor import DynamicOutputShapeException as DynamicShape
from torch._subclasses.fake_tensor import FakeTensorMode

from sci_plugins import EnhancementStage
from sci_plugins.functional import host_image
from sci_plugins.functional.host_image import fill_mask, valid_sizes
from sci_plugins.functional.sci_inference import enhance_folded
from sci_plugins.models import enhancement_stage as module
from sci_plugins.models.enhancers import BaseEnhancer, build_enhancer
from sci_plugins.models.enhancers.sci import SCIEnhancer
from sci_plugins.registry import MODELS
from tests.gpu_pretence import WaitedError, no_waiting, to_gpu

CPU = torch.device('cpu')
NAMES = (
    'SCIEnhancer()', 'AdaptiveSCIEnhancer()', 'exposure/0.4', 'gamma/0.5', 'ZeroDCEEnhancer()',
    'RUASEnhancer()', 'IATEnhancer()', 'gated/SCIEnhancer()', 'temporal/gated/SCIEnhancer()',
    'temporal/AdaptiveSCIEnhancer()',
)  # fmt: skip


@pytest.fixture
def mode() -> FakeTensorMode:
    return FakeTensorMode(allow_non_fake_inputs=True)


def _images() -> list[Tensor]:
    images = torch.randint(0, 60, (3, 3, 40, 48), dtype=torch.uint8)
    images[1:, :, 30:, 20:] = 114  # one that is padded, and one with an area
    images[2, :, -1, -1] = 0
    return [*images, images[0, :, :, :32]]


def _preprocessor(name: str, training: bool, **more: Any) -> Any:
    pytest.importorskip('mmdet')
    settings: Any = dict(mean=(1, 2, 3), std=(4, 5, 6), bgr_to_rgb=True, fill_color=114, **more)
    settings |= dict(enhancer=build_enhancer(name), frozen=not training)
    kind = 'sci_plugins.EnhancedDetDataPreprocessor'
    return MODELS.build(dict(type=kind, **settings)).train(training)


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('training', [False, True])
def test_a_preprocessor_never_waits(
    mode: FakeTensorMode, name: str, training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not after the images have gone to the GPU; padding is looked for before."""
    # The host computes with sizes as tensors of the CPU, which have no values here.
    monkeypatch.setattr(data_preprocessor, 'stack_batch', lambda images, *_: images)
    preprocessor = to_gpu(_preprocessor(name, training), mode)
    with ExitStack() as stack:

        def cast_data(data: dict) -> dict:
            if data['inputs'][0].is_cuda:  # the host asks again
                return data
            moved = [to_gpu(image, mode) for image in data['inputs']]
            stack.enter_context(no_waiting(mode))
            return {**data, 'inputs': moved}

        preprocessor.cast_data = cast_data
        # A stream of frames goes on, and what inference folds is there.
        for _ in range(2 if 'temporal' in name or not training else 1):
            result = preprocessor(dict(inputs=_images(), data_samples=None), training)['inputs']
            stack.close()
        assert all(each.device.type == 'cuda' for each in result)
        wanted = [each.requires_grad for each in preprocessor.parameters()]
        assert result[0].requires_grad == any(wanted) == (training and bool(wanted))


def test_what_was_enlarged_goes_through_by_its_size_before(
    mode: FakeTensorMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without waiting, once the weights of a size are on the GPU."""
    pairs = (20, 40), (24, 48), (16, 48)
    known = {pair: host_image._parts(*pair, torch.float32, CPU) for pair in pairs}
    there = {pair: [(at, to_gpu(w, mode)) for at, w in parts] for pair, parts in known.items()}
    # Fake tensors are kept by nobody: as if found in the cache.
    monkeypatch.setattr(host_image._parts, '__wrapped__', lambda old, new, *_: there[old, new])
    stage = to_gpu(EnhancementStage('AdaptiveSCIEnhancer()'), mode).eval()
    images = [to_gpu(torch.zeros(3, 40, 48, dtype=torch.uint8), mode)] * 3
    batches = []
    monkeypatch.setattr(stage, '_run_enhancer', _noting(stage._run_enhancer, batches))
    with no_waiting(mode):
        results = stage.enhance_images(images, False, loaded=[(20, 24), (20, 24), (20, 16)])
    assert [each.shape for each in results] == [(3, 40, 48)] * 3
    assert batches == [(2, (20, 24)), (1, (20, 16))]


def _noting(run: Any, batches: list[Any]) -> Any:
    def note(rgb: Tensor, training: bool, loaded: tuple[int, int], steps: int) -> Tensor:
        batches.append((len(rgb), loaded))
        return run(rgb, training, loaded, steps)

    return note


class _Counting(BaseEnhancer):
    """Remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.shapes = nn.BatchNorm2d(3), []

    def forward(self, image: Tensor) -> Tensor:
        self.shapes.append(tuple(image.shape))
        return self.norm(image)


@pytest.mark.parametrize('norm_eval', [True, False])
def test_neighbours_of_a_size_go_through_together(mode: FakeTensorMode, norm_eval: bool) -> None:
    """Unless an image's result would depend on the others."""
    settings: Any = dict(frozen=False, norm_eval=norm_eval, check_values=False)
    stage = EnhancementStage(_Counting(), **settings).train()
    sizes = [(8, 9), (8, 9), (8, 7), (8, 9), (8, 9)]
    images = [to_gpu(torch.zeros(3, *size), mode) for size in sizes]
    with no_waiting(mode):
        results = to_gpu(stage, mode)(images)
    assert [each.shape[1:] for each in results] == sizes
    shapes = (
        [(2, 3, 8, 9), (1, 3, 8, 7), (2, 3, 8, 9)] if norm_eval else [(1, 3, *s) for s in sizes]
    )
    assert stage.enhancer.shapes == shapes


def test_together_is_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tolerance: 1e-4 grey levels; PyTorch may compute batches in another order."""
    stage = EnhancementStage('SCIEnhancer()', fill_color=114).train()
    one, _, area, small = (image.float() for image in _images())
    images = [one, one / 2, area, small]
    wanted = stage(images)
    monkeypatch.setattr(stage, '_group', lambda crops: [crops[:3], crops[3:]])
    torch.testing.assert_close(stage(images), wanted, rtol=0, atol=1e-4)


def test_fast_inference_and_checks_do_not_wait(mode: FakeTensorMode) -> None:
    enhancer = to_gpu(SCIEnhancer().eval(), mode)
    image = to_gpu(torch.zeros(2, 3, 16, 16), mode)
    with no_waiting(mode):
        assert enhance_folded(image, enhancer._folded(), illumination=True)[1].is_cuda
        assert module._numbers_of(image).is_cuda
        assert fill_mask(image[0], (1, 2, 3)).is_cuda


def test_padding_of_images_on_the_gpu_is_read_once(mode: FakeTensorMode) -> None:
    images = [to_gpu(image, mode) for image in _images()]
    with no_waiting(mode), pytest.raises(DataDependent):
        valid_sizes(images, (114, 114, 114))


@pytest.mark.parametrize(
    'wait',
    [
        lambda image: image.sum().item(),
        lambda image: bool((image > 0).any()),
        lambda image: (image > 0).nonzero(),
        lambda image: image[image > 0],
        lambda image: torch.equal(image, image),
        lambda image: image.new_tensor([1.0, 2.0]),
        lambda image: torch.tensor([1.0, 2.0]).to(image.device),
        lambda image: image.cpu(),
        lambda image: image.copy_(torch.zeros(3, 4, 4)),
        lambda image: image.tolist(),
        lambda image: float(image.max()),
    ],
)
def test_the_pretence_notices(mode: FakeTensorMode, wait: Any) -> None:
    image = to_gpu(torch.zeros(3, 4, 4), mode)
    with no_waiting(mode), pytest.raises((WaitedError, DataDependent, DynamicShape)):
        wait(image)


@pytest.fixture
def _errors_for_waiting() -> Iterator[None]:
    if not torch.cuda.is_available():
        pytest.skip('no CUDA device on this machine')
    yield
    torch.cuda.set_sync_debug_mode('default')


@pytest.mark.usefixtures('_errors_for_waiting')
@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('training', [False, True])
def test_cuda_is_never_waited_for(name: str, training: bool) -> None:
    preprocessor = _preprocessor(name, training, non_blocking=True).cuda()
    images = [image.pin_memory() for image in _images()]
    for mode in ('default', 'error'):
        torch.cuda.set_sync_debug_mode(mode)
        preprocessor(dict(inputs=images, data_samples=None), training)
