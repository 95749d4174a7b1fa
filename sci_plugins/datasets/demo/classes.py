"""What can be seen in the demo's streets; the index is the label."""

STREET_CLASSES = (
    'road',
    'pavement',
    'building',
    'sky',
    'car',
    'lamp',
    'tree',
    'person',
)
#: RGB, close to Cityscapes' colours.
STREET_PALETTE = (
    (128, 64, 128),
    (244, 35, 232),
    (70, 70, 70),
    (70, 130, 180),
    (0, 0, 142),
    (250, 170, 30),
    (107, 142, 35),
    (220, 20, 60),
)
IGNORED = 255
