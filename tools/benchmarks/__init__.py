"""Measurements of what enhancement costs on this machine."""

from benchmarks.bootstrap import BootstrapResult, benchmark_bootstrap
from benchmarks.comparison import benchmark_comparison
from benchmarks.cost import CostResult, benchmark_cost
from benchmarks.darkface import benchmark_darkface
from benchmarks.enhancer import EnhancerResult, benchmark_enhancer
from benchmarks.export import ExportResult, benchmark_export
from benchmarks.files import FilesResult, benchmark_files
from benchmarks.segmentation import SegmentationTimes, benchmark_segmentation
from benchmarks.stage import StageResult, benchmark_stage
from benchmarks.train import TrainResult, benchmark_train
from benchmarks.video import VideoResult, benchmark_video

__all__ = [
    'BootstrapResult',
    'CostResult',
    'EnhancerResult',
    'ExportResult',
    'FilesResult',
    'SegmentationTimes',
    'StageResult',
    'TrainResult',
    'VideoResult',
    'benchmark_bootstrap',
    'benchmark_comparison',
    'benchmark_cost',
    'benchmark_darkface',
    'benchmark_enhancer',
    'benchmark_export',
    'benchmark_files',
    'benchmark_segmentation',
    'benchmark_stage',
    'benchmark_train',
    'benchmark_video',
]
