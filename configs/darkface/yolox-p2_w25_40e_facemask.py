_base_ = [
    '../_base_/light_yolox_p2_w25.py', '../_base_/facemask.py',
    '../_base_/light_schedule_det.py', '../_base_/light_runtime.py'
]
default_scope = 'mmdet'
