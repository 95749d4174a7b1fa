import pytest
import torch

from sci_plugins.errors import ConfigError
from sci_plugins.functional.losses import exposure_loss
from sci_plugins.registry import MODELS


def test_is_the_weighted_function() -> None:
    image, enhanced = torch.rand(2, 3, 5, 5) * 0.1, torch.rand(2, 3, 5, 5)
    loss = MODELS.build(dict(type='sci_plugins.ExposureLoss', target=0.6, weight=7.0))
    wanted = 7 * exposure_loss(enhanced, image, 0.6)
    assert wanted > 0
    torch.testing.assert_close(loss(enhanced, image), wanted)
    assert 'target=0.6' in repr(loss)


@pytest.mark.parametrize(
    ('argument', 'value'), [('target', 0), ('target', 1.0), ('weight', 0), ('weight', -1)]
)
def test_arguments_out_of_range(argument: str, value: float) -> None:
    from sci_plugins.models.losses import ExposureLoss

    with pytest.raises(ConfigError, match=argument):
        ExposureLoss(**{argument: value})
