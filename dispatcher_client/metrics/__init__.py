"""What Prometheus scrapes of an application's dispatcher."""

from dispatcher_client.metrics.collector import DispatcherCollector, DispatcherSources, Load
from dispatcher_client.metrics.exporter import MetricsExporter
from dispatcher_client.metrics.request_statistics import RequestStatistics

__all__ = ["DispatcherCollector", "DispatcherSources", "Load", "MetricsExporter", "RequestStatistics"]
