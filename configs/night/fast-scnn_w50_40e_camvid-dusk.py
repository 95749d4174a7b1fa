# Trained on CamVid by day, tested on the recording at dusk, which was left out.
_base_ = './fast-scnn_w50_40e_camvid.py'
test_dataloader = dict(
    dataset=dict(
        data_prefix=dict(img_path='train', seg_map_path='trainannot'),
        exclude_prefix=None,
        include_prefix='0001TP'))
