"""What is told of an image is what the functions and the stage say."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sci_plugins.apis.explain import HEAD, explain_images, row
from sci_plugins.datasets.low_light_folder import to_tensor
from sci_plugins.functional.blocking import estimate_blocking
from sci_plugins.functional.light import light_statistics
from sci_plugins.functional.noise import estimate_noise
from sci_plugins.models.enhancers import AdaptiveSCIEnhancer, GatedEnhancer
from sci_plugins.utils.images import write_image


@pytest.fixture()
def photograph(tmp_path: Path) -> np.ndarray:
    pixels = np.random.default_rng(0).integers(5, 60, (40, 50, 3)).astype(np.uint8)
    write_image(tmp_path / 'night.png', pixels)
    return pixels


def test_numbers(tmp_path: Path, photograph: np.ndarray) -> None:
    stage = AdaptiveSCIEnhancer().eval()
    (found,) = explain_images([tmp_path], stage)
    image = to_tensor(photograph)[None]
    light, noise, decision = light_statistics(image), estimate_noise(image), stage.decide(image)
    assert found.light == {name: float(value) for name, value in light._asdict().items()}
    white, blocks = float(noise.whiteness), float(estimate_blocking(image).evidence)
    assert found.noise == dict(linear=float(noise.linear), whiteness=white, blocks=blocks)
    assert found.decision == dict(
        exponent=float(decision.exponent.detach()),
        gain=float(decision.gain.detach()),
        strengths=decision.strengths[0].tolist(),
    )
    assert not found.off
    cells = row(found)
    assert len(cells) == len(HEAD)
    assert cells[:2] == [str(tmp_path / 'night.png'), f'{float(light.mean):.3f}']
    assert cells[-2] == f'{float(decision.gain.detach()):.2f}'


@pytest.mark.parametrize('progress', [False, True])
def test_progress_on_stderr(
    tmp_path: Path, photograph: np.ndarray, capsys: pytest.CaptureFixture[str], progress: bool
) -> None:
    write_image(tmp_path / 'twice.png', photograph)
    assert len(list(explain_images([tmp_path], 'gamma', progress=progress))) == 2
    out, err = capsys.readouterr()
    assert ('2/2' in err) is progress
    assert '2/2' not in out


def test_off_and_other_enhancers(tmp_path: Path, photograph: np.ndarray) -> None:
    stage = AdaptiveSCIEnhancer().eval()
    torch.nn.init.constant_(stage.controller.out.bias, -20)
    (found,) = explain_images([tmp_path], stage)
    assert found.off
    assert row(found)[-3:] == ['off', '', '']
    (around,) = explain_images([tmp_path], GatedEnhancer(stage))
    assert around == found
    (found,) = explain_images([tmp_path], 'gamma')
    assert found.decision is None
    assert row(found)[-3:] == ['', '', '']


def test_a_broken_image_is_told_and_the_rest_goes_on(
    tmp_path: Path, photograph: np.ndarray
) -> None:
    (tmp_path / 'broken.png').write_bytes(b'no image')
    write_image(tmp_path / 'tiny.png', photograph[:3, :3])
    found = list(explain_images([tmp_path], AdaptiveSCIEnhancer()))
    problems = {Path(each.path).name: each.problem for each in found}
    assert problems.pop('night.png') == ''
    assert 'broken.png' in problems['broken.png']
    assert 'at least 5 x 5 pixels' in problems['tiny.png']
    assert all(len(row(each)) == len(HEAD) for each in found)
