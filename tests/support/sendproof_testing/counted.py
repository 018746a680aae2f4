"""What the milter's metrics have counted in this process, for tests. Reads no exposition."""

from prometheus_client.metrics import MetricWrapperBase

from sendproof_milter.metrics import Metrics


def counted(metrics: Metrics) -> dict[str, float]:
    """Each number that is not nothing, by its name and its label: "messages_total passed"; of times, how many."""
    wrappers = [value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)]
    samples = [sample for wrapper in wrappers for family in wrapper.collect() for sample in family.samples]
    return {
        " ".join((sample.name.removeprefix("sendproof_milter_"), *sample.labels.values())): sample.value
        for sample in samples
        if sample.value and not sample.name.endswith(("_created", "_bucket", "_sum"))
    }
