"""What a frozen network makes of an untouched image, as the aim for what stands in front of it.

Without labels, the network itself, on the bright image, teaches the stage that gives it a dark one
(Hinton et al., "Distilling the Knowledge in a Neural Network", 2015). Losses are per image, so that
an image that gets worse can be told from one that gets better.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmengine.logging import MessageHub
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from sci_plugins.errors import ConfigError, SciPluginsError, tell_cause
from sci_plugins.functional.host_image import rgb_to_host
from sci_plugins.functional.tensors import flat_tensors
from sci_plugins.utils.model_parts import find_preprocessor, unwrap_model
from sci_plugins.utils.seeds import seeded

# Squared differences below this count as equal in the smooth absolute difference.
_CHARBONNIER = 1e-4
# Weight of the neck's features beside the head's outputs.
_FEATURES = 0.5
# Weight of a place without objects, against 1 for a certain object.
_BACKGROUND = 0.02


class Teacher(ABC):
    """Looks at images and says how far what it sees is from what it should see."""

    @abstractmethod
    def look(self, image: Tensor) -> Any:
        """What is seen in images, ``(N, 3, H, W)``, RGB in [0, 1]; with gradients."""

    def weigh(self, pairs: Iterable[tuple[Tensor, Tensor]]) -> None:  # noqa: B027
        """See batches in the light and in the dark before all others; only some need to."""

    @torch.no_grad()
    def aim(self, bright: Tensor, labels: Sequence[Any] | None = None) -> Any:
        """What should be seen: by default what is seen in ``bright``, whatever the ``labels``."""
        return self.look(bright)

    @abstractmethod
    def distance(self, seen: Any, aim: Any) -> Tensor:
        """How far ``seen`` is from ``aim``, for each image: ``(N,)``, from 0."""


class PixelTeacher(Teacher):
    """The untouched pixels: for no network in particular.

    Charbonnier's smooth absolute difference, plus half the absolute differences of 5 x 5 means and
    of gradients: colour and light count, and so do edges.
    """

    def look(self, image: Tensor) -> Tensor:
        return image

    def distance(self, seen: Tensor, aim: Tensor) -> Tensor:
        axes = (1, 2, 3)
        difference = seen - aim
        total = (difference.square() + _CHARBONNIER).sqrt().mean(axes) - _CHARBONNIER**0.5
        total = total + 0.5 * F.avg_pool2d(difference, 5, 1).abs().mean(axes)
        for axis in (-1, -2):
            total = total + 0.5 * difference.diff(dim=axis).abs().mean(axes)
        return total


class JointTeacher(Teacher):
    """Two or more teachers at once: a stage for networks that nobody tuned it to.

    The mean of their distances, each in units of what darkness costs it: its mean distance on the
    pairs that :meth:`weigh` was given.
    """

    def __init__(self, teachers: Sequence[Teacher]) -> None:
        self.teachers = list(teachers)
        self.units = [1.0] * len(self.teachers)

    @torch.no_grad()
    def weigh(self, pairs: Iterable[tuple[Tensor, Tensor]]) -> None:
        costs = [
            [each.distance(each.look(dark), each.look(bright)).mean() for each in self.teachers]
            for bright, dark in pairs
        ]
        self.units = [max(float(torch.stack(own).mean()), 1e-6) for own in zip(*costs, strict=True)]

    def look(self, image: Tensor) -> list[Any]:
        return [teacher.look(image) for teacher in self.teachers]

    def distance(self, seen: list[Any], aim: list[Any]) -> Tensor:
        rows = zip(self.teachers, seen, aim, self.units, strict=True)
        found = [teacher.distance(one, other) / unit for teacher, one, other, unit in rows]
        return torch.stack(found).mean(0)


class Seen(NamedTuple):
    """What a network makes of images."""

    features: list[Tensor]  # of its neck, level by level
    maps: list[list[Tensor]]  # of its head, by kind (class scores first) and level


class _Host(Teacher):
    """A model, frozen from here on, with the data preprocessor that takes its images."""

    def __init__(self, model: nn.Module, input_order: str = 'bgr') -> None:
        self.model: Any = unwrap_model(model).requires_grad_(False).eval()
        self.input_order = input_order
        self._preprocessor: Any = find_preprocessor(self.model)


class NetworkTeacher(_Host):
    """A frozen mmdet or mmseg model.

    Segmentors: the divergence of the class probabilities, mean over pixels. Detectors with a dense
    head (RetinaNet, FCOS, YOLOX, RTMDet, SSD, TOOD, ...): the divergence of the scores and the
    difference of boxes and other maps, weighted by the scores on the untouched image, and the
    neck's features. Two-stage detectors: the features and the outputs of the region proposal
    network. Others, such as DETR and Mask2Former: the features alone. ConfigError for a network
    with neither, such as one in an ONNX file.
    """

    def __init__(self, model: nn.Module, input_order: str = 'bgr') -> None:
        super().__init__(model, input_order)
        if not (_gives_logits(self.model) or hasattr(self.model, 'extract_feat')):
            wish = 'an mmseg segmentor or an mmdet detector, through which gradients pass'
            raise ConfigError(f'cannot tune to {type(self.model).__name__}: expected {wish}')

    def look(self, image: Tensor) -> Seen:
        batch = list(rgb_to_host(image, self.input_order))
        # Some preprocessors note in the samples how they padded.
        samples = [BaseDataElement() for _ in batch]
        inputs = self._preprocessor(dict(inputs=batch, data_samples=samples), False)['inputs']
        if _gives_logits(self.model):
            return Seen([], [list(flat_tensors(self.model(inputs, None, mode='tensor')))])
        features = list(flat_tensors(self.model.extract_feat(inputs)))
        head = _dense_head(self.model)
        kinds = () if head is None else head(features)
        return Seen(features, [list(flat_tensors(kind)) for kind in kinds])

    def distance(self, seen: Seen, aim: Seen) -> Tensor:
        if _gives_logits(self.model):
            return _divergence(seen.maps[0][0], aim.maps[0][0], dim=1).flatten(1).mean(1)
        pairs = zip(seen.features, aim.features, strict=True)
        total = _FEATURES * torch.stack([_relative(*pair) for pair in pairs]).mean(0)
        if aim.maps:
            total = total + _head_distance(_dense_head(self.model), seen.maps, aim.maps)
        return total


class TaskTeacher(_Host):
    """A frozen mmdet or mmseg model and its own training loss on labelled images.

    The labels are the aim, and the distance is the sum of the losses in the model's ``loss()``,
    image by image. The model stays in eval mode: its BatchNorm keeps its statistics. Where a loss
    draws random numbers (sampled boxes), they are the same each time.
    """

    def __init__(self, model: nn.Module, input_order: str = 'bgr') -> None:
        super().__init__(model, input_order)
        # They resize batches at random.
        self._preprocessor.batch_augments = None
        # TOOD's loss asks how far its training is: it is over.
        hub = MessageHub.get_current_instance()
        if hub.get_info('epoch') is None:
            hub.update_info('epoch', 10**6)

    def aim(self, bright: Tensor, labels: Sequence[Any] | None = None) -> Sequence[Any]:
        """The labels; ConfigError if there are none."""
        if labels is None:
            raise ConfigError('the training loss of a network needs labelled images')
        return labels

    def look(self, image: Tensor) -> Tensor:
        return image

    def distance(self, seen: Tensor, aim: Sequence[Any]) -> Tensor:
        """The loss of each image, ``(N,)``; ConfigError if there is none for these labels."""
        return torch.stack([self._loss(*pair) for pair in zip(seen, aim, strict=True)])

    def _loss(self, image: Tensor, label: Any) -> Tensor:
        batch = [rgb_to_host(image[None], self.input_order)[0]]
        # DETR's forward passes keep what their loss needs only if the flag of the whole says so;
        # its parts, and so BatchNorm and Dropout, stay in eval mode.
        self.model.training = True
        try:
            with seeded(0):
                ready = self._preprocessor(dict(inputs=batch, data_samples=[label]), True)
                return self.model.parse_losses(self.model(**ready, mode='loss'))[0]
        except SciPluginsError:
            raise
        except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError,
                TypeError, ValueError) as error:  # fmt: skip
            told = f'no training loss for the images of its train_dataloader ({tell_cause(error)})'
            raise ConfigError(f'{type(self.model).__name__} gives {told}') from error
        finally:
            self.model.training = False


def _gives_logits(model: Any) -> bool:
    """Whether it is a segmentor whose ``mode='tensor'`` gives a map of logits."""
    head = getattr(model, 'decode_head', None)
    last = head[-1] if isinstance(head, nn.ModuleList) else head  # of a cascade
    return hasattr(last, 'cls_seg')


def _dense_head(model: Any) -> Any:
    """What turns features into maps: the head of a dense detector, or the proposals'."""
    heads = (getattr(model, name, None) for name in ('bbox_head', 'rpn_head'))
    # A head of queries (DETR) takes more than features.
    needed = ('cls_out_channels', 'prior_generator')
    return next((head for head in heads if all(hasattr(head, each) for each in needed)), None)


def _head_distance(head: Any, seen: list[list[Tensor]], aim: list[list[Tensor]]) -> Tensor:
    """Of class scores and of the head's other kinds of maps; objects count most."""
    loss = getattr(head, 'loss_cls', None)
    softmax = not getattr(head, 'use_sigmoid_cls', getattr(loss, 'use_sigmoid', True))
    weights = _objects(aim, head.cls_out_channels, softmax)
    mass = 1 + torch.stack([weight.flatten(1).sum(1) for weight in weights]).sum(0)
    total = torch.zeros_like(mass)
    for kind, pair in enumerate(zip(seen, aim, strict=True)):
        for one, other, weight in zip(*pair, weights, strict=True):
            one, other = (_by_anchor(each, weight.shape[1]) for each in (one, other))
            if kind == 0 and softmax:
                apart = _divergence(one, other, dim=2)
            elif kind == 0 or one.shape[2] == 1:  # yes or no: scores, objectness, centerness
                apart = _divergence(one, other, dim=None).sum(2)
            else:
                apart = F.smooth_l1_loss(one, other, reduction='none', beta=0.1).mean(2)
            total = total + ((weight + _BACKGROUND) * apart).flatten(1).sum(1)
    return total / mass


def _objects(maps: list[list[Tensor]], classes: int, softmax: bool) -> list[Tensor]:
    """How likely there is an object, ``(N, anchors, h, w)`` for each level.

    The likeliest class's probability; times that of an object or of its centre where the head gives
    such a map, without which a class score says little about background (YOLOX).
    """
    found = []
    for level, scores in enumerate(maps[0]):
        by_anchor = _by_anchor(scores, scores.shape[1] // classes)
        # The last class of a softmax is the background.
        likely = by_anchor.softmax(2)[:, :, :-1] if softmax else by_anchor.sigmoid()
        likely = likely.amax(2)
        for kind in maps[1:]:
            if kind[level].shape == likely.shape:
                likely = likely * kind[level].sigmoid()
        found.append(likely)
    return found


def _by_anchor(maps: Tensor, anchors: int) -> Tensor:
    """``(N, anchors * C, h, w)`` to ``(N, anchors, C, h, w)``."""
    return maps.unflatten(1, (anchors, -1))


def _divergence(seen: Tensor, aim: Tensor, dim: int | None) -> Tensor:
    """Kullback-Leibler divergence, classes in ``dim`` of the logits; ``None``: each a yes or no."""
    if dim is not None and aim.shape[dim] > 1:
        wanted = aim.log_softmax(dim)
        return (wanted.exp() * (wanted - seen.log_softmax(dim))).sum(dim)
    wanted = aim.sigmoid()
    binary = F.binary_cross_entropy_with_logits
    return binary(seen, wanted, reduction='none') - binary(aim, wanted, reduction='none')


def _relative(seen: Tensor, aim: Tensor) -> Tensor:
    """Squared difference over the aim's square, for each image."""
    scale = aim.square().flatten(1).mean(1).clamp_min(1e-12)
    return (seen - aim).square().flatten(1).mean(1) / scale
