"""Enhancement in front of any PyTorch model, of which it knows nothing, nor of a framework."""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from sci_plugins.errors import ConfigError, DataError, check_above, check_choice, is_number
from sci_plugins.functional.host_image import fill_mask, host_to_rgb, rgb_to_host, valid_sizes
from sci_plugins.functional.tensors import is_exporting
from sci_plugins.models.enhancers import BaseEnhancer
from sci_plugins.models.enhancers.build import EnhancerLike, build_enhancer
from sci_plugins.models.enhancers.sci import prepare_kernels

Batch = Sequence[Tensor] | Tensor
Size = tuple[int, int]
Sizes = Sequence[Size]
Images = TypeVar('Images', Tensor, list[Tensor])
_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
#: Integers that images of more than 8 bits come in.
_WIDE = (torch.uint16, torch.int32)
#: On the scale of 255. Colour augmentation of float images leaves [0, 255] by less: mmdet's
#: PhotoMetricDistortion gives -48 to 430, and of black images a mean of -48.
_LOWEST, _HIGHEST, _LOWEST_MEAN = -64, 512, -50
#: Normalised images are in [-3, 3], with more below zero than resizing leaves of black frames.
#: PhotoMetricDistortion does this to 7 % of black images and to 0.1 % of LOL's.
_SMALL = 8
#: So many batches in a row are refused, as one may look normalised by chance; more if augmented.
_IN_A_ROW, _IN_A_ROW_AUGMENTED = 3, 10


class _Values(NamedTuple):
    """Of a batch: for each image smallest, largest and mean value, and any inside (0, 1)."""

    numbers: Tensor
    paths: Sequence[str]
    training: bool
    is_here: Callable[[], bool]  # or still on its way from the GPU


class ValueCheck:
    """Refuses batches of images that are not colour on the scale up to ``white``.

    Refused are NaN, infinite values, those far outside (a little outside is clamped later), and a
    negative mean (in training below -50 of 255, which colour augmentation makes of dark images);
    three times in a row, in training ten times, also what a batch may show by chance: all values
    within [0, 1] where white is above 1 (all-zero images do not count), and small ones on both
    sides of zero. uint8 images are never refused.

    Values on a GPU are read one batch later or more, so that it never waits. What is remembered of
    earlier batches is part of no copy, pickle or checkpoint. ConfigError if ``white`` is not finite
    and above 0.
    """

    def __init__(self, white: float) -> None:
        check_above(0, input_max=white)
        self.white = white
        self._in_a_row = 0
        self._waiting: list[_Values] = []

    def __reduce__(self) -> Any:
        return ValueCheck, (self.white,)

    def check(
        self,
        images: Iterable[Tensor],
        training: bool,
        paths: Sequence[str] = (),
        advice: str = 'enhance before the normalisation',
    ) -> None:
        """Look at a batch, and at earlier ones whose values have come from the GPU.

        The images, each of any shape but not empty, are float or integer, and augmented in
        ``training``. ``advice`` says what to do about normalised ones. The DataError names the
        values, the likely cause and the remedy.
        """
        late, self._waiting = self._waiting, []
        given = [image.detach() for image in images if image.dtype != torch.uint8]
        for values in [*late, *([_measure(given, training, paths)] if given else [])]:
            if values.is_here():
                self._judge(values, advice)
            else:
                self._waiting.append(values)

    def _judge(self, values: _Values, advice: str) -> None:
        unit, clear, cause = self.white / 255, False, ''
        for index, (low, high, mean, between) in enumerate(values.numbers.tolist()):
            where, normalised = place_of(values.paths, index), f'they seem normalised; {advice}'
            if not (math.isfinite(low) and math.isfinite(high)):
                raise DataError(f'the image holds NaN or infinite values{where}')
            told = f'got values from {low:.4g} to {high:.4g}{where}'
            if low < _LOWEST * unit or mean < (_LOWEST_MEAN if values.training else -1e-3) * unit:
                self._refuse(told, normalised)
            if high > _HIGHEST * unit:
                self._refuse(told, self._tell_bright(high))
            if low < -high / 2 and max(-low, high) <= _SMALL * unit:
                cause = normalised
            elif between and low >= 0 and high <= 1 < self.white:
                cause = 'leave out the division by 255, or set input_max=1'
            else:
                clear = clear or low < 0 or high > 0
        if clear or cause:
            self._in_a_row = 0 if clear else self._in_a_row + 1
        needed = _IN_A_ROW_AUGMENTED if values.training else _IN_A_ROW
        if cause and self._in_a_row >= needed:
            self._refuse(f'{told} as in {self._in_a_row} batches in a row', cause)

    def _tell_bright(self, high: float) -> str:
        fits = next((white for white in (255, 65535) if self.white < white >= high), None)
        return f'set input_max={fits} if that is white' if fits else 'scale them'

    def _refuse(self, told: str, remedy: str) -> None:
        remedy += ' (check_values=False leaves out this check)'
        raise DataError(f'float images must be in [0, {self.white:g}], {told}: {remedy}')


def _measure(images: Sequence[Tensor], training: bool, paths: Sequence[str]) -> _Values:
    numbers = torch.stack([_numbers_of(image) for image in images])
    if numbers.device.type != 'cuda':
        return _Values(numbers, paths, training, lambda: True)
    copied = numbers.to('cpu', non_blocking=True)
    event = torch.cuda.current_stream(numbers.device).record_event()
    return _Values(copied, paths, training, event.query)


def _numbers_of(image: Tensor) -> Tensor:
    values = image if image.is_floating_point() else image.float()
    low, high = values.aminmax()
    # Without a GPU to wait for, a second pass over a photograph only where it matters.
    lazily = image.device.type == 'cpu'
    mean = low if lazily and low >= 0 else values.mean(dtype=torch.float32)
    is_small = not lazily or bool(high <= 1)
    between = ((values > 0) & (values < 1)).any() if is_small else torch.zeros_like(low)
    return torch.stack([number.float() for number in (low, high, mean, between)])


def _norms_in(module: nn.Module) -> list[nn.Module]:
    return [each for each in module.modules() if isinstance(each, nn.modules.batchnorm._NormBase)]


def is_taken_out() -> bool:
    """Whether the model is on its way into another format: trace, export, ONNX."""
    return torch.jit.is_tracing() or is_exporting()


def place_of(paths: Sequence[str], index: int) -> str:
    """The file of an image in brackets, for the end of a sentence; empty if unknown."""
    return f' ({paths[index]})' if index < len(paths) and paths[index] else ''


class EnhancementStep(nn.Module):
    """What enhances the images of a model, each by itself; a base of modules that call it."""

    enhancer: BaseEnhancer
    input_max: float = 255.0
    check_values: bool = True
    _values: ValueCheck | None = None

    def setup_enhancement(
        self,
        enhancer: EnhancerLike,
        frozen: bool = True,
        norm_eval: bool = True,
        input_order: str = 'bgr',
        fill_color: float | Sequence[float] | None = None,
        input_max: float = 255.0,
        check_values: bool = True,
    ) -> None:
        """Arguments and errors as of :class:`EnhancementStage`.

        The channel order is never guessed from ``bgr_to_rgb``: YOLOX and RTMDet leave that off and
        load BGR.
        """
        check_choice('input_order', input_order, ('bgr', 'rgb'))
        values = ValueCheck(input_max)
        self.enhancer = build_enhancer(enhancer)
        self.frozen, self.norm_eval = frozen, norm_eval
        self.input_order, self.input_max = input_order, float(input_max)
        self.check_values, self._values = check_values, values
        self.fill_color = _three(fill_color)
        self.enhancer.requires_grad_(not frozen)
        prepare_kernels(self.enhancer)
        self.train(self.training)

    def train(self, mode: bool = True) -> 'EnhancementStep':
        """Like ``nn.Module.train``, except for what ``frozen`` and ``norm_eval`` keep."""
        super().train(mode)
        if self.frozen:
            self.enhancer.eval()
        elif self.norm_eval:
            for norm in _norms_in(self.enhancer):
                norm.eval()
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> 'EnhancementStep':
        # `model.half()` and `.double()` leave the enhancer in float32: it divides by a
        # small illumination, and its input is float32 whatever the model becomes.
        enhancer = self._modules.pop('enhancer')
        try:
            super()._apply(fn, recurse)
        finally:
            self._modules['enhancer'] = enhancer
        enhancer._apply(lambda tensor: _keep_dtype(fn(tensor), tensor))  # type: ignore[union-attr]
        return self

    def check_images(self, images: Batch, training: bool, paths: Sequence[str] = ()) -> None:
        """Refuse what cannot be colour images, before they go to a GPU if possible.

        Arguments as of :meth:`ValueCheck.check`. Raises DataError if there are none, one is no
        uint8 or float ``(3, H, W)``, or the :class:`ValueCheck` fails.
        """
        if len(images) == 0:
            raise DataError('the batch is empty: expected at least one image')
        for index, image in enumerate(images):
            _check_image(image, self.input_max, place_of(paths, index))
        if self.check_values and not is_taken_out() and images[0].device.type != 'meta':
            self._values = self._values or ValueCheck(self.input_max)
            self._values.check(images, training, paths, self._advice())

    def _advice(self) -> str:
        return 'put the stage before the normalisation'

    def valid_sizes(self, images: Iterable[Tensor]) -> list[tuple[int, int]]:
        """Height and width of each image without its padding: quick before they go to a GPU."""
        if self.fill_color is None:
            return [(image.shape[1], image.shape[2]) for image in images]
        return valid_sizes(images, self.fill_color)

    def enhance_images(
        self, images: Batch, training: bool, sizes: Sizes = (), loaded: Sizes = ()
    ) -> list[Tensor]:
        """Images ``(3, H, W)``, uint8, or float in [0, ``input_max``], not checked, enhanced.

        Same size and scale, float32. In training, areas of the fill colour inside an image stay as
        well. On a GPU, neighbours of the same size are one batch. ``sizes`` are those of
        :meth:`valid_sizes`, ``loaded`` those that they were enlarged from.
        """
        sizes = sizes or self.valid_sizes(images)
        crops = [image[:, :h, :w] for image, (h, w) in zip(images, sizes, strict=True)]
        enhanced: list[Tensor] = []
        for group in self._group([*zip(crops, loaded or sizes, strict=True)]):
            batch, before = zip(*group, strict=True)
            enhanced.extend(self._enhance_batch(batch, training, before[0]).unbind())
        return [self._keep_fill(*pair, training) for pair in zip(images, enhanced, strict=True)]

    def _group(self, images: Sequence[tuple[Tensor, Size]]) -> list[list[tuple[Tensor, Size]]]:
        """Neighbours that go through together; each alone on a CPU, whose caches are small."""
        if images[0][0].is_cpu or any(norm.training for norm in _norms_in(self)):
            return [[image] for image in images]
        groups = groupby(images, lambda each: (each[0].shape, each[0].dtype, each[1]))
        return [list(group) for _, group in groups]

    def _keep_fill(self, image: Tensor, enhanced: Tensor, training: bool) -> Tensor:
        if enhanced.shape != image.shape:
            whole = image.to(torch.float32, copy=True)  # not the caller's memory
            whole[:, : enhanced.shape[1], : enhanced.shape[2]] = enhanced
            enhanced = whole
        if training and self.fill_color is not None:
            return torch.where(fill_mask(image, self.fill_color), image.float(), enhanced)
        return enhanced

    def _enhance_batch(self, images: Sequence[Tensor], training: bool, loaded: Size) -> Tensor:
        batch = torch.stack(tuple(images)) if len(images) > 1 else images[0].unsqueeze(0)
        white = 255.0 if batch.dtype == torch.uint8 else self.input_max
        steps = 255 * (batch.dtype == torch.uint8)
        # Division by a small illumination needs float32, whatever AMP asks for.
        with torch.autocast(batch.device.type, enabled=False):
            if batch.dtype == torch.uint8:
                result = torch.empty(batch.shape, device=batch.device)
                if self.enhance_bytes(batch, result, scale=white):
                    return result
            rgb = host_to_rgb(batch, self.input_order, self.input_max)
            with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
                enhanced = self._run_enhancer(rgb, training, loaded, steps)
            return rgb_to_host(enhanced, self.input_order, white)

    def enhance_bytes(self, images: Tensor, target: Tensor, **how: Any) -> bool:
        """As :meth:`BaseEnhancer.enhance_bytes`, images ``(N, 3, H, W)`` of the host."""
        return self.enhancer.enhance_bytes(images, target, bgr=self.input_order == 'bgr', **how)

    def _run_enhancer(self, rgb: Tensor, training: bool, loaded: Size, steps: int) -> Tensor:
        if loaded == rgb.shape[2:]:
            return self.enhancer(rgb)
        return self.enhancer.enhance_enlarged(rgb, loaded, steps)


class EnhancementStage(EnhancementStep):
    """An enhancer as the first module of any model, as in ``nn.Sequential(stage, model)``.

    Stands before the model's own normalisation: images come in as they were loaded. Each is
    enhanced by itself, in float32 also under autocast. Arguments out of range raise ConfigError.

    Args:
        enhancer: see :func:`build_enhancer`.
        input_order: channel order of the images, ``'rgb'`` or ``'bgr'``.
        input_max: white of float images: 255, 1 (torchvision's ``to_tensor``), or 65535 for 16
            bits, which may then be integers too. Values a little outside [0, ``input_max``] are
            clamped, others refused. uint8 images are in [0, 255] in any case.
        fill_color: colour, on the scale and in the channel order of the images, of their padding at
            the bottom and right edge, which stays; in train mode, areas of it inside the image
            (mosaic) as well. ``None``: no padding.
        frozen: no gradients reach the enhancer, and it stays in eval mode; ``False`` trains it with
            the model's task.
        norm_eval: its BatchNorm layers keep their statistics in training.
        check_values: refuse images on another scale, see :class:`ValueCheck`.

    Shape:
        - input: ``(N, 3, H, W)``, or a list of ``(3, H, W)`` of any sizes; uint8, or float in [0,
          ``input_max``]
        - output: likewise, on the input's scale; of its dtype, for uint8 float32
    """

    def __init__(
        self,
        enhancer: EnhancerLike,
        input_order: str = 'rgb',
        input_max: float = 255.0,
        fill_color: float | Sequence[float] | None = None,
        frozen: bool = True,
        norm_eval: bool = True,
        check_values: bool = True,
    ) -> None:
        super().__init__()
        self.setup_enhancement(
            enhancer, frozen, norm_eval, input_order, fill_color, input_max, check_values
        )

    def forward(self, images: Images) -> Images:
        """Enhance a batch, or a list of images; DataError as of :meth:`check_images`."""
        is_batch = isinstance(images, Tensor) and images.ndim == 4
        is_list = isinstance(images, list | tuple) and all(map(torch.is_tensor, images))
        if not (is_batch or is_list):
            got = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
            wish = 'images of shape (N, 3, H, W) or a list of (3, H, W)'
            raise DataError(f'expected {wish}, got {got}')
        self.check_images(images, self.training)
        pairs = zip(images, self.enhance_images(images, self.training), strict=True)
        enhanced = [new.to(old.dtype) if old.is_floating_point() else new for old, new in pairs]
        return torch.stack(enhanced) if is_batch else enhanced  # type: ignore[return-value]

    def extra_repr(self) -> str:
        scale = f'input_order={self.input_order!r}, input_max={self.input_max:g}'
        return f'{scale}, fill_color={self.fill_color}, frozen={self.frozen}'


def _keep_dtype(changed: Tensor, tensor: Tensor) -> Tensor:
    return changed if changed.dtype == tensor.dtype else tensor.to(changed.device)


def _three(color: float | Sequence[float] | None) -> tuple[float, ...] | None:
    if color is None:
        return None
    values = tuple(color) if isinstance(color, Sequence) else (color,) * 3
    if len(values) != 3 or not all(is_number(v) and math.isfinite(v) for v in values):
        raise ConfigError(f'fill_color must be one or three numbers, got {color!r}')
    return tuple(float(value) for value in values)


def _check_image(image: Any, white: float, where: str) -> None:
    if not isinstance(image, Tensor) or image.layout != torch.strided:
        kind = getattr(image, 'layout', type(image).__name__)
        raise DataError(f'expected an image as a dense tensor, got {kind}{where}')
    if image.ndim != 3 or image.shape[0] != 3 or image.numel() == 0:
        raise DataError(f'expected an image of shape (3, H, W), got {tuple(image.shape)}{where}')
    is_wide = image.dtype in _WIDE
    if image.dtype not in (torch.uint8, *_FLOATS) and not (is_wide and white > 255):
        advice = ': for 16-bit images set input_max=65535' * is_wide
        raise DataError(f'expected an image of uint8 or float, got {image.dtype}{where}{advice}')
