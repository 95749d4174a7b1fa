"""The images are counted, whatever the network found."""

from mmengine.evaluator import Evaluator

from sci_plugins.evaluation.metrics import NoMetric


def test_images_are_counted() -> None:
    evaluator = Evaluator(NoMetric())
    for batch in ([{}, {}], [{}]):
        evaluator.process(data_samples=batch, data_batch=None)
    assert evaluator.evaluate(3) == {'set/images': 3.0}
