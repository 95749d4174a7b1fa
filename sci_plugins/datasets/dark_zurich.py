"""Dark Zurich and Nighttime Driving, for which mmseg has data sets of its own."""

from sci_plugins.datasets.night_layouts import NightLayout, Overlap

DARK_ZURICH = NightLayout(
    name='Dark Zurich',
    images='rgb_anon/{split}/night',
    labels='gt/{split}/night',
    img_suffix='_rgb_anon.png',
    label_suffix='_gt_labelTrainIds.png',
    unlabelled=('train', 'test'),
    part='{split}/night',
    counts={'train/night': 2416, 'val/night': 50, 'test/night': 151},
    size=(1920, 1080),
    recording=r'(.+)_frame_\d+',
    overlaps=(
        Overlap(
            'val/night',
            'a recording of ACDC night val, which has all 50: do not test a model on one '
            'of the two that was trained or chosen on the other',
            'GOPR0356',
        ),
        Overlap('test/night', 'all 151 are in ACDC night test'),
        Overlap('train/night', '296 of the 400 images of ACDC night train are here'),
    ),
)
NIGHT_DRIVING = NightLayout(
    name='Nighttime Driving',
    images='leftImg8bit/{split}/night',
    labels='gtCoarse_daytime_trainvaltest/{split}/night',
    img_suffix='_leftImg8bit.png',
    label_suffix='_gtCoarse_labelTrainIds.png',
    splits=('test',),
    counts=dict(test=50),
    size=(1920, 1080),
    recording=r'(.+)_frame_\d+',
)
