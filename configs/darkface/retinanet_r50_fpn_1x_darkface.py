_base_ = [
    'mmdet::_base_/models/retinanet_r50_fpn.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    '../_base_/detector_runtime.py', '../_base_/darkface_regdet.py'
]
# Anchors from 16 pixels on, half as large as mmdet's: so are most faces.
model = dict(
    bbox_head=dict(num_classes=1, anchor_generator=dict(octave_base_scale=2)))
optim_wrapper = dict(
    optimizer=dict(lr=0.0025), clip_grad=dict(max_norm=35, norm_type=2))
auto_scale_lr = dict(base_batch_size=4)
