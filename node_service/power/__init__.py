"""What a board takes: sensors of power and energy, found on the machine, and a meter that counts joules."""

from node_service.power.meter import EnergyMeter
from node_service.power.sensor import Kind, Sensor
from node_service.power.sensors import SYSTEM_ROOT, find_sensors

__all__ = ["SYSTEM_ROOT", "EnergyMeter", "Kind", "Sensor", "find_sensors"]
