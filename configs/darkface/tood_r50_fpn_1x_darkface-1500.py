# TOOD at the protocol of YOLA's table: 1500x1000, 5400/600, VOC AP50 by area
# (`darkface/VOC_AP50_area`), from COCO's weights. The list is not YOLA's, which is not
# public: for a comparison with its numbers, put its two lists in place of the split.
_base_ = [
    '../_base_/tood_r50_fpn.py', '../_base_/darkface_hashed_1500.py',
    'mmdet::_base_/schedules/schedule_1x.py', '../_base_/detector_runtime.py'
]
# load_from holds the whole network: no need to fetch ResNet's weights before.
model = dict(backbone=dict(init_cfg=None))
optim_wrapper = dict(
    optimizer=dict(lr=0.0025), clip_grad=dict(max_norm=35, norm_type=2))
auto_scale_lr = dict(base_batch_size=4)
load_from = 'https://download.openmmlab.com/mmdetection/v2.0/tood/tood_r50_fpn_1x_coco/tood_r50_fpn_1x_coco_20211210_103425-20e20746.pth'  # noqa
