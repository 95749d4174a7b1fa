"""What enhancement costs: measured here, on this machine, in one process."""

from sci_plugins.apis.benchmark.bootstrap import BootstrapResult, benchmark_bootstrap
from sci_plugins.apis.benchmark.cost import CostResult, benchmark_cost
from sci_plugins.apis.benchmark.darkface import benchmark_darkface
from sci_plugins.apis.benchmark.enhancer import EnhancerResult, benchmark_enhancer
from sci_plugins.apis.benchmark.segmentation import (
    SegmentationResult,
    benchmark_segmentation,
)
from sci_plugins.apis.benchmark.stage import StageResult, benchmark_stage
from sci_plugins.apis.benchmark.train import TrainResult, benchmark_train

__all__ = [
    'BootstrapResult',
    'CostResult',
    'EnhancerResult',
    'SegmentationResult',
    'StageResult',
    'TrainResult',
    'benchmark_bootstrap',
    'benchmark_cost',
    'benchmark_darkface',
    'benchmark_enhancer',
    'benchmark_segmentation',
    'benchmark_stage',
    'benchmark_train',
]
