"""S3FD's anchor matching in plain loops, from the words of the paper's section 3.2."""

import math

Box = tuple[float, float, float, float]


def iou(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return width * height / (sum(areas) - width * height)


def first_stage(faces: list[Box], anchors: list[Box], threshold: float) -> list[int]:
    """Face of each anchor, from 0 on, or -1 for background."""
    matches = []
    for anchor in anchors:
        overlaps = [iou(face, anchor) for face in faces]
        best = max(range(len(faces)), key=lambda face: overlaps[face])
        matches.append(best if overlaps[best] >= threshold else -1)
    for number, face in enumerate(faces):
        overlaps = [iou(face, anchor) for anchor in anchors]
        best = max(range(len(anchors)), key=lambda anchor: overlaps[anchor])
        if overlaps[best] > 0:
            matches[best] = number
    return matches


def second_stage(
    faces: list[Box], anchors: list[Box], matches: list[int], min_iou: float
) -> list[int]:
    """Faces below the average choose; each anchor follows whom it overlaps most."""
    average = sum(match >= 0 for match in matches) / len(faces)
    asked: dict[int, list[tuple[float, int]]] = {}
    for number, face in enumerate(faces):
        if matches.count(number) >= average:
            continue
        near = [
            (-iou(face, anchor), index)
            for index, anchor in enumerate(anchors)
            if matches[index] in (-1, number) and iou(face, anchor) > min_iou
        ]
        for overlap, index in sorted(near)[: math.ceil(average)]:
            asked.setdefault(index, []).append((overlap, number))
    result = list(matches)
    for index, wishes in asked.items():
        result[index] = min(wishes)[1]
    return result
