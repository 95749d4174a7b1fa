import torch

from sci_plugins.models.detectors.s3fd import max_out_background


def test_by_hand() -> None:
    scores = torch.tensor([[7.0, 1.0, 3.0, 2.0], [-1.0, -5.0, -6.0, -4.0]])
    found = max_out_background(scores[:, :, None, None])
    assert found.shape == (2, 2, 1, 1)
    assert found[:, :, 0, 0].tolist() == [[7.0, 3.0], [-1.0, -4.0]]


def test_several_classes() -> None:
    scores = torch.tensor([1.0, 9.0, 3.0, 2.0]).view(1, 4, 1, 1)
    assert max_out_background(scores, classes=2).flatten().tolist() == [1.0, 9.0, 3.0]


def test_one_background_is_the_identity() -> None:
    scores = torch.randn(2, 2, 3, 5)
    assert max_out_background(scores).equal(scores)


def test_the_largest_alone_learns() -> None:
    scores = torch.tensor([7.0, 1.0, 3.0, 2.0]).view(1, 4, 1, 1).requires_grad_()
    max_out_background(scores).sum().backward()
    assert scores.grad is not None
    assert scores.grad.flatten().tolist() == [1.0, 0.0, 1.0, 0.0]


def test_gradcheck() -> None:
    # Far from a tie, where the largest changes.
    scores = torch.tensor([0.3, 1.0, 3.0, 2.0, -0.3, 4.0, 1.0, 2.0], dtype=torch.float64)
    scores = scores.view(2, 4, 1, 1).requires_grad_()
    assert torch.autograd.gradcheck(max_out_background, (scores,))
