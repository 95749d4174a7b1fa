"""What travels with an image."""

import pickle
from pathlib import Path

import torch

from sci_plugins.datasets.low_light_folder import make_sample


def test_a_sample_and_its_copy() -> None:
    sample = make_sample(Path('a/b.png'), torch.ones(3, 2, 2), skipped=(('c', 'why'),))
    for each in (sample, pickle.loads(pickle.dumps(sample)), sample.to('cpu')):
        assert each.img_path == str(Path('a/b.png'))
        assert each.skipped == (('c', 'why'),)
        assert torch.equal(each.reference, torch.ones(3, 2, 2))


def test_without_a_reference() -> None:
    sample = make_sample(Path('b.png'))
    assert 'reference' not in sample
    assert sample.skipped == ()
