"""S3FD's second stage of matching, by hand; against plain loops: with the assigner."""

import pytest
import torch

from sci_plugins.models.detectors.s3fd import compensate_matches


def test_by_hand() -> None:
    """Six anchors of two faces are three a face: the second face takes two more."""
    overlaps = torch.tensor(
        [[0.9, 0.8, 0.7, 0.6, 0.5, 0.2, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.3, 0.4, 0.2, 0.15]]
    )
    matches = torch.tensor([1, 1, 1, 1, 1, 2, 0, 0])
    found = compensate_matches(overlaps, matches)
    # Anchor 4 overlaps it by 0.3, but belongs to the first face.
    assert found.tolist() == [1, 1, 1, 1, 1, 2, 2, 2]


def test_the_best_are_taken_and_no_more() -> None:
    overlaps = torch.tensor([[0.9] * 4 + [0.0] * 4, [0.0] * 4 + [0.12, 0.3, 0.2, 0.25]])
    matches = torch.tensor([1, 1, 1, 1, 0, 0, 0, 0])
    assert compensate_matches(overlaps, matches).tolist() == [1, 1, 1, 1, 0, 2, 0, 2]
    assert compensate_matches(overlaps, matches, top_n=3).tolist()[4:] == [0, 2, 2, 2]
    assert compensate_matches(overlaps, matches, top_n=9).tolist()[4:] == [2, 2, 2, 2]


def test_the_limit_is_exclusive() -> None:
    overlaps = torch.tensor([[0.5, 0.0, 0.0], [0.0, 0.25, 0.26]])
    matches = torch.tensor([1, 0, 0])
    found = compensate_matches(overlaps, matches, min_iou=0.25, top_n=2)
    assert found.tolist() == [1, 0, 2]


def test_an_average_is_rounded_up() -> None:
    """Three anchors of two faces: 1.5, so that a face with one gets a second."""
    overlaps = torch.tensor([[0.9, 0.9, 0.0, 0.0], [0.0, 0.0, 0.9, 0.2]])
    matches = torch.tensor([1, 1, 2, 0])
    assert compensate_matches(overlaps, matches).tolist() == [1, 1, 2, 2]


def test_a_face_at_the_average_gets_nothing() -> None:
    overlaps = torch.tensor([[0.9, 0.3, 0.0], [0.0, 0.3, 0.9]])
    matches = torch.tensor([1, 0, 2])
    assert compensate_matches(overlaps, matches) is matches


def test_two_want_the_same() -> None:
    """It goes to the face that it overlaps most, of equals to the first."""
    overlaps = torch.tensor(
        [[0.9] * 3 + [0.0] * 3, [0] * 3 + [0.2, 0.3, 0.2], [0] * 3 + [0.3, 0.2, 0.2]]
    )
    matches = torch.tensor([1, 1, 1, 0, 0, 0])
    found = compensate_matches(overlaps, matches, top_n=3)
    assert found.tolist() == [1, 1, 1, 3, 2, 2]


def test_what_takes_no_part_stays_out() -> None:
    overlaps = torch.tensor([[0.9, 0.9, 0.9, -1.0, -1.0], [0.0, 0.0, 0.0, -1.0, 0.2]])
    matches = torch.tensor([1, 1, 1, -1, -1])
    # The last one is only undecided: stage one put it between its two thresholds.
    assert compensate_matches(overlaps, matches, top_n=2).tolist() == [1, 1, 1, -1, 2]


def test_a_face_keeps_a_best_anchor_that_hardly_touches_it() -> None:
    overlaps = torch.tensor([[0.9, 0.9, 0.9, 0.0], [0.0, 0.0, 0.0, 0.05]])
    matches = torch.tensor([1, 1, 1, 2])
    assert compensate_matches(overlaps, matches).tolist() == [1, 1, 1, 2]


@pytest.mark.parametrize(('faces', 'anchors'), [(0, 4), (3, 0), (0, 0)])
def test_nothing_to_match(faces: int, anchors: int) -> None:
    matches = torch.zeros(anchors, dtype=torch.long)
    found = compensate_matches(torch.zeros(faces, anchors), matches)
    assert found.equal(matches)


def test_input_stays(device: torch.device) -> None:
    overlaps = torch.rand(5, 60, device=device)
    matches = torch.tensor([1, 1, 1, 1, 1] + [0] * 55, device=device)
    before = overlaps.clone(), matches.clone()
    found = compensate_matches(overlaps, matches, top_n=4)
    assert (overlaps.equal(before[0]), matches.equal(before[1])) == (True, True)
    assert (found.device, found.dtype) == (matches.device, matches.dtype)
    assert found.bincount().tolist()[1] == 5
    assert min(found.bincount(minlength=6).tolist()) >= 1
