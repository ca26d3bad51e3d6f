"""Metrics of a service, in the format of Prometheus."""

from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from flax_transformer.serving.served_model import ServedModel


class ServiceMetrics:
    """Requests by path and status, their seconds, and the texts that wait for each model.

    Args:
        models: which are served.

    Attributes:
        registry: of the metrics of this service only.
    """

    def __init__(self, models: Sequence[ServedModel]):
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "requests", "Requests by path and status.", ["path", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "request_seconds", "Time of a request.", ["path"], registry=self.registry
        )
        self.registry.register(_Waiting(models))

    def count(self, path: str, status: int, seconds: float) -> None:
        """Counts a request."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)


class _Waiting(Collector):
    """The numbers of waiting texts at the time of asking."""

    def __init__(self, models: Sequence[ServedModel]):
        self._models = models

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("waiting_texts", "Texts that wait.", labels=["model"])
        for model in self._models:
            family.add_metric([model.name], model.num_waiting)
        yield family
