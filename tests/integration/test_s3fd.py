"""The whole S3FD, as its config builds it: it learns, and it is the known network."""

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from tests.host_models import batch

pytest.importorskip('mmdet')
FACE = (8.0, 8.0, 40.0, 44.0)
CONFIG = Path(__file__).parents[2] / 'configs/_base_/s3fd_vgg16.py'


def _build(**settings: Any) -> Any:
    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict({'model.backbone.init_cfg': None, **settings})
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
    for part in (model.neck, model.bbox_head):
        part.init_weights()
    # VGG without pretrained weights: keeps the size of what it is given.
    for name, value in model.backbone.named_parameters():
        if 'bias' in name:
            torch.nn.init.zeros_(value)
        else:
            torch.nn.init.kaiming_normal_(value, nonlinearity='relu')
    return model


@pytest.fixture(scope='module')
def model() -> Any:
    return _build()


def _data(**meta: Any) -> dict:
    """A bright square, which is a face, on a dark image; the box is `batch`'s."""
    image = torch.full((3, 96, 96), 20, dtype=torch.uint8)
    image[:, 8:44, 8:40] = 180
    data = batch('mmdet', [image])
    data['data_samples'][0].gt_instances.labels[:] = 0
    data['data_samples'][0].set_metainfo(meta)
    return data


def _losses(model: Any) -> dict[str, torch.Tensor]:
    data = model.data_preprocessor(_data(), True)
    return {name: sum(each) for name, each in model(**data, mode='loss').items()}


def test_number_of_parameters(model: Any) -> None:
    """As in the public implementations, counted layer by layer: 22.46 million."""
    parts = [
        sum(value.numel() for value in part.parameters())
        for part in (model.backbone, model.neck, model.bbox_head)
    ]
    conv6 = 1024 * 256 + 256 + 256 * 512 * 9 + 512
    conv7 = 512 * 128 + 128 + 128 * 256 * 9 + 256
    norms = 256 + 512 + 512
    channels = 256 + 512 + 512 + 1024 + 512 + 256
    boxes, scores = 9 * 4 * channels + 6 * 4, 9 * 2 * channels + 6 * 2
    max_out = 9 * 2 * 256 + 2
    assert parts == [20_483_904, conv6 + conv7 + norms, boxes + scores + max_out]
    assert sum(parts) == 22_459_110


def test_preprocessing_is_the_authors(model: Any) -> None:
    """Their BGR 104, 117, 123 taken off grey levels, fed as RGB."""
    image = torch.tensor([114.0, 137.0, 153.0])[:, None, None].expand(3, 32, 32)
    inputs = model.data_preprocessor(batch('mmdet', [image]), False)['inputs']
    assert inputs[0, :, 0, 0].tolist() == [30.0, 20.0, 10.0]


def test_a_gradient_reaches_the_first_convolution(model: Any) -> None:
    model.zero_grad()
    sum(_losses(model).values()).backward()
    for name, value in model.named_parameters():
        assert value.grad is not None, name
        assert value.grad.isfinite().all(), name
    assert model.backbone.features[0].weight.grad.abs().max() > 0


@pytest.mark.slow
def test_the_loss_falls_and_the_face_is_found() -> None:
    model = _build()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-4)
    history = []
    for _ in range(14):
        losses = _losses(model)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10)
        optimizer.step()
        history.append({name: float(value.detach()) for name, value in losses.items()})
    for name in ('loss_cls', 'loss_bbox'):
        assert history[-1][name] < 0.3 * history[0][name], history
    model.eval()
    found, again, halved = (
        model.test_step(data)[0].pred_instances
        for data in (_data(), _data(), _data(scale_factor=(0.5, 0.5)))
    )
    assert float(found.scores[0]) > 0.9
    torch.testing.assert_close(found.bboxes[0], torch.tensor(FACE), atol=6, rtol=0)
    assert found.bboxes.equal(again.bboxes)
    assert found.scores.equal(again.scores)
    assert halved.bboxes.equal(2 * found.bboxes)  # in pixels of the original image
