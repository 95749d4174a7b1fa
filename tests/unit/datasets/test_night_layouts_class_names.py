"""Names of classes, against mmseg's where it has the data set."""

import pytest

from sci_plugins.datasets.night_layouts import CAMVID, CITYSCAPES, CLASS_NAMES


def test_cityscapes_is_the_host_s() -> None:
    datasets = pytest.importorskip('mmseg.datasets')
    assert datasets.CityscapesDataset.METAINFO['classes'] == CITYSCAPES


def test_names() -> None:
    assert dict(cityscapes=CITYSCAPES, camvid=CAMVID) == CLASS_NAMES
    assert (len(set(CITYSCAPES)), len(set(CAMVID))) == (19, 11)
