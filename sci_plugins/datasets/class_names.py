"""Names of classes in the order of their labels, where several modules need them."""

#: Cityscapes' evaluated classes in the order of their trainIds, 0 to 18.
CITYSCAPES = (
    'road',
    'sidewalk',
    'building',
    'wall',
    'fence',
    'pole',
    'traffic light',
    'traffic sign',
    'vegetation',
    'terrain',
    'sky',
    'person',
    'rider',
    'car',
    'truck',
    'bus',
    'train',
    'motorcycle',
    'bicycle',
)
#: CamVid's 11 classes in SegNet's order; the label 11 (void) is to be ignored.
CAMVID = (
    'sky',
    'building',
    'pole',
    'road',
    'pavement',
    'tree',
    'sign',
    'fence',
    'car',
    'pedestrian',
    'bicyclist',
)
#: Sets of names that have a name of their own at the command line.
CLASS_NAMES = dict(cityscapes=CITYSCAPES, camvid=CAMVID)
