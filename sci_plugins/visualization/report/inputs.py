"""What a report shows beside the numbers."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Curve:
    """Precision against recall of one variant's detections.

    Args:
        recall: in [0, 1], ascending.
        precision: in [0, 1], one for each recall.
        name: of the variant, in the legend; empty: the one it is stored under.
    """

    recall: list[float]
    precision: list[float]
    name: str = ''


@dataclass(frozen=True)
class Sheet:
    """Pictures of an image that gained or lost much: input to truth on one sheet.

    Args:
        condition: name of the condition that the image was seen under.
        variant: what the base is compared with, as in the tables (``label_of``).
        image: its name.
        effect: by how much Δ of the set falls when the image is left out, in the unit
            of the metric; above 0 for an image that gained.
        path: JPEG file of the sheet.
    """

    condition: str
    variant: str
    image: str
    effect: float
    path: Path
