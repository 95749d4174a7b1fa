_base_ = 'mmdet::_base_/default_runtime.py'
custom_imports = dict(imports=['sci_plugins'])
default_hooks = dict(checkpoint=dict(max_keep_ckpts=1))
randomness = dict(seed=0)
