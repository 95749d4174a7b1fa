_base_ = [
    '../_base_/light_fast_scnn_w50.py', '../_base_/camvid.py',
    '../_base_/light_schedule_seg.py', '../_base_/light_runtime.py'
]
default_scope = 'mmseg'
