"""What Prometheus scrapes of a board."""

from node_service.metrics.collector import NodeCollector, NodeSources
from node_service.metrics.frame_statistics import FrameStatistics, StageKey
from node_service.metrics.server import MetricsServer

__all__ = ["FrameStatistics", "MetricsServer", "NodeCollector", "NodeSources", "StageKey"]
