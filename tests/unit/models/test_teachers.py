"""Teachers: real networks from their own configs, and distances that are known."""

import math
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from sci_plugins.errors import ConfigError
from sci_plugins.models.teachers import (
    JointTeacher,
    NetworkTeacher,
    PixelTeacher,
    TaskTeacher,
    _divergence,
    _objects,
)
from tests.host_models import batch, host_config, parameters


@pytest.fixture(scope='module', params=parameters())
def teacher(request: pytest.FixtureRequest) -> NetworkTeacher:
    host, cfg, _ = host_config(request.param)
    init_default_scope(host)
    torch.manual_seed(0)
    model: Any = ROOT_MODELS.build(cfg.model)
    model.init_weights()
    if hasattr(model, 'decode_head') and hasattr(model.decode_head, 'conv_seg'):
        nn.init.normal_(model.decode_head.conv_seg.weight)  # near 0, classes hardly differ
    return NetworkTeacher(model)


def _images(size: int = 64) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    smooth = torch.rand(2, 3, 8, 8, generator=generator)
    return nn.functional.interpolate(smooth, (size, size), mode='bilinear')


def test_networks(teacher: NetworkTeacher) -> None:
    image = _images(300 if type(teacher.model).__name__ == 'SingleStageDetector' else 64)
    with torch.no_grad():
        aim = teacher.look(image)
        same = teacher.distance(teacher.look(image.clone()), aim)
        dim = teacher.distance(teacher.look(image * 0.7), aim)
        dark = teacher.distance(teacher.look(image * 0.05), aim)
        one = slice(0, 1)
        alone = teacher.distance(teacher.look(image[one] * 0.05), teacher.look(image[one]))
    assert dark.shape == (2,)
    torch.testing.assert_close(same, torch.zeros(2), rtol=0, atol=1e-4)
    assert bool((dark > dim).all() & (dim > 1e-6).all())
    torch.testing.assert_close(alone, dark[one], rtol=1e-3, atol=1e-4)
    student = (image * 0.05).requires_grad_()
    teacher.distance(teacher.look(student), aim).sum().backward()
    assert float(student.grad.abs().sum()) > 0  # type: ignore[union-attr]
    assert all(parameter.grad is None for parameter in teacher.model.parameters())
    assert not any(parameter.requires_grad for parameter in teacher.model.parameters())


@pytest.mark.parametrize('name', parameters())
def test_a_networks_own_training_loss(name: str) -> None:
    """Image by image what ``loss()`` says, the same twice, with gradients for the image alone."""
    host, cfg, size = host_config(name)
    init_default_scope(host)
    torch.manual_seed(0)
    model: Any = ROOT_MODELS.build(cfg.model)
    model.init_weights()
    teacher = TaskTeacher(model)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    image = _images(size)
    labels = batch(host, list(image * 255))['data_samples']
    with torch.no_grad():
        found = teacher.distance(teacher.look(image), teacher.aim(image, labels))
        again = teacher.distance(teacher.look(image), teacher.aim(image, labels))
        bgr = [each.flip(0) * 255 for each in image]
        data = model.data_preprocessor(dict(inputs=bgr[1:], data_samples=labels[1:]), True)
        torch.manual_seed(0)
        model.training = True  # alone: its parts stay in eval mode
        losses = model.loss(data['inputs'], data['data_samples'])
        model.training = False
        expected = model.parse_losses(losses)[0]
    assert found.shape == (2,)
    assert torch.equal(found, again)
    torch.testing.assert_close(found[1], expected, rtol=1e-4, atol=1e-4)
    student = (image * 0.5).requires_grad_()
    teacher.distance(student, labels).sum().backward()
    assert float(student.grad.abs().sum()) > 0  # type: ignore[union-attr]
    after = model.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in state.items())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not any(module.training for module in model.modules())


def test_a_loss_needs_labels_that_fit() -> None:
    host, cfg, size = host_config('SegFormer')
    init_default_scope(host)
    teacher, image = TaskTeacher(ROOT_MODELS.build(cfg.model)), _images(size)
    labels = batch(host, list(image))['data_samples']
    labels[0].gt_sem_seg.data += 50
    with pytest.raises(ConfigError, match='training loss of a network needs labelled images'):
        teacher.aim(image)
    with torch.no_grad(), pytest.raises(ConfigError) as caught:
        teacher.distance(image, labels)
    told = str(caught.value)
    assert told.startswith('EncoderDecoder gives no training loss for the images of its train_data')
    assert 'out of bounds' in told
    assert '\n' not in told


def test_channels_reach_the_network_in_its_order() -> None:
    """The preprocessor turns BGR into RGB, so a teacher hands it BGR."""
    model: Any = ROOT_MODELS.build(_tiny_segmentor())
    seen = {}
    model.extract_feat = lambda inputs: seen.setdefault('inputs', inputs)
    model.decode_head.forward = lambda inputs: inputs
    red = torch.zeros(1, 3, 8, 8)
    red[:, 0] = 1
    NetworkTeacher(model).look(red)
    torch.testing.assert_close(seen['inputs'], red * 255)


def _tiny_segmentor() -> Config:
    init_default_scope('mmseg')
    return Config(
        dict(
            type='EncoderDecoder',
            data_preprocessor=dict(
                type='SegDataPreProcessor', mean=[0, 0, 0], std=[1, 1, 1], bgr_to_rgb=True
            ),
            backbone=dict(type='MobileNetV2', out_indices=(0,)),
            decode_head=dict(
                type='FCNHead', in_channels=16, in_index=0, channels=8, num_classes=3,
                norm_cfg=dict(type='BN'),
            ),
            test_cfg=dict(mode='whole'),
        )
    )  # fmt: skip


def test_pixels() -> None:
    teacher, image = PixelTeacher(), torch.full((2, 3, 9, 9), 0.5)
    torch.testing.assert_close(teacher.distance(image, image), torch.zeros(2))
    # Equal everywhere by d: sqrt(d² + 1e-4) - 0.01, plus half of d for the means.
    expected = math.sqrt(0.2**2 + 1e-4) - 0.01 + 0.1
    found = teacher.distance(image - 0.2, image)
    torch.testing.assert_close(found, torch.full((2,), expected))


def test_several_teachers_weigh_alike() -> None:
    """One that is a hundred times as strict counts no more."""

    class Strict(PixelTeacher):
        def distance(self, seen: Tensor, aim: Tensor) -> Tensor:
            return 100 * super().distance(seen, aim)

    bright = _images()
    pairs = [(bright, bright * 0.5), (bright, bright * 0.7)]
    joint = JointTeacher([PixelTeacher(), Strict()])
    joint.weigh(pairs)
    assert joint.units[1] == pytest.approx(100 * joint.units[0])
    looks = [joint.look(each) for each in (bright, bright * 0.6)]
    expected = PixelTeacher().distance(bright * 0.6, bright) / joint.units[0]
    torch.testing.assert_close(joint.distance(looks[1], looks[0]), expected)


def test_divergence_by_hand() -> None:
    seen, aim = torch.tensor([[0.0, 0.0]]), torch.tensor([[math.log(3.0), 0.0]])
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    torch.testing.assert_close(_divergence(seen, aim, dim=1), torch.tensor([expected]))
    yes = math.log(3.0)
    found = _divergence(torch.tensor([0.0]), torch.tensor([yes]), dim=None)
    torch.testing.assert_close(found, torch.tensor([expected]))


def test_objects_need_both_class_and_objectness() -> None:
    """YOLOX's class scores say nothing where there is no object."""
    scores, boxes = torch.full((1, 5, 2, 2), 9.0), torch.zeros(1, 4, 2, 2)
    objectness = torch.full((1, 1, 2, 2), -9.0)
    assert float(_objects([[scores], [boxes], [objectness]], 5, False)[0].max()) < 1e-3
    assert float(_objects([[scores], [boxes]], 5, False)[0].min()) > 0.99
    # Softmax of two anchors with three classes and the background, the last one.
    background = torch.zeros(1, 8, 2, 2)
    background[:, [3, 7]] = 9
    assert _objects([[background]], 4, True)[0].shape == (1, 2, 2, 2)
    assert float(_objects([[background]], 4, True)[0].max()) < 1e-3


def test_a_network_without_gradients_is_refused() -> None:
    class Ready(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.data_preprocessor = ROOT_MODELS.build(dict(type='BaseDataPreprocessor'))

    with pytest.raises(ConfigError, match='cannot tune to Ready: expected an mmseg segmentor'):
        NetworkTeacher(Ready())
