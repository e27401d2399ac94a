"""What Prometheus scrapes of a board."""

from node_service.metrics.collector import NodeCollector, NodeSources
from node_service.metrics.frame_statistics import FrameStatistics, StageKey
from node_service.metrics.grpc_calls import GrpcCalls

__all__ = ["FrameStatistics", "GrpcCalls", "NodeCollector", "NodeSources", "StageKey"]
