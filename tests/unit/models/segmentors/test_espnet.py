"""ESPNet: the authors' numbers, files and sizes, and the whole segmentor."""

import pytest
import torch

pytest.importorskip('mmseg')

from mmengine.config import ConfigDict
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from sci_plugins.errors import ConfigError
from sci_plugins.models.segmentors.espnet import ESPNet
from sci_plugins.registry import MODELS

#: By the authors' code (github.com/sacmehta/ESPNet, test/Model.py; with the projection that their
#: CamVid file has) with the weights and the image of `_seeded`: scores at some places.
ORACLE = {
    (0, 0, 0): 36.1312,
    (3, 20, 31): 2434.19,
    (7, 47, 63): -2879.03,
    (11, 8, 50): 1225.78,
    (5, 33, 2): 2678.43,
}


def _seeded(network: torch.nn.Module) -> torch.Tensor:
    """Fills a network by the order of its names, and gives an image ``(1, 3, 48, 64)``."""
    source = torch.Generator().manual_seed(0)
    state = network.state_dict()
    for name in sorted(name for name in state if 'num_batches' not in name):
        value = state[name]
        drawn = torch.rand(value.shape, generator=source)
        value.copy_(0.5 + drawn if value.dim() == 1 else 0.4 * (drawn - 0.5))
    return torch.rand(1, 3, 48, 64, generator=source) - 0.5


def test_the_authors_numbers() -> None:
    network = ESPNet(kept=None).eval()
    image = _seeded(network)
    with torch.no_grad():
        (scores,) = network(image)
    assert scores.shape == (1, 12, 48, 64)
    for (channel, row, column), value in ORACLE.items():
        assert float(scores[0, channel, row, column]) == pytest.approx(value, rel=1e-4)


def test_it_has_the_authors_names_and_drops_what_is_unlabelled() -> None:
    source = ESPNet(kept=None).eval()
    image = _seeded(source)
    names = [name for name in source.state_dict() if 'num_batches' not in name]
    assert len(names) == 189
    assert {name.split('.')[0] for name in names} == {
        *('encoder', 'br', 'up_l3', 'level3_C', 'combine_l2_l3', 'up_l2', 'conv', 'classifier')
    }
    network = ESPNet().eval()
    network.load_state_dict({name: source.state_dict()[name] for name in names}, strict=False)
    with torch.no_grad():
        assert torch.equal(network(image)[0], source(image)[0][:, :11])


def test_a_segmentor_of_it() -> None:
    """It is tested and trained behind an enhancer."""
    head = dict(type='sci_plugins.ScoresHead', in_channels=11, channels=11, num_classes=11)
    preprocessor = dict(
        type='sci_plugins.EnhancedSegDataPreProcessor',
        enhancer='gamma/0.4',
        size=(48, 64),
        seg_pad_val=255,
    )
    settings = dict(
        type='mmseg.EncoderDecoder',
        data_preprocessor=preprocessor,
        backbone=dict(type='sci_plugins.ESPNet'),
        decode_head=head | dict(in_index=0, align_corners=False),
        test_cfg=dict(mode='whole'),
        train_cfg=dict(),
    )
    model = MODELS.build(ConfigDict(settings))
    image = torch.randint(0, 90, (3, 48, 64), dtype=torch.uint8)
    sample = SegDataSample(gt_sem_seg=PixelData(data=torch.zeros(1, 48, 64).long()))
    sample.set_metainfo(dict(img_shape=(48, 64), ori_shape=(48, 64), scale_factor=(1, 1)))
    (result,) = model.eval().test_step(dict(inputs=[image], data_samples=[sample]))
    assert result.pred_sem_seg.data.shape == (1, 48, 64)
    data = model.train().data_preprocessor(dict(inputs=[image], data_samples=[sample]), True)
    losses = model.loss(data['inputs'], data['data_samples'])
    losses['decode.loss_ce'].backward()
    assert model.backbone.classifier.weight.grad.abs().sum() > 0


def test_what_is_no_espnet() -> None:
    with pytest.raises(ConfigError, match='q must be'):
        ESPNet(q=0)
