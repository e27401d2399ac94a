"""A fleet's own small certificate authority: who may speak with boards, and who is a board."""

from dispatcher_client.certificates.authority import LEAF_DAYS
from dispatcher_client.certificates.credentials import Credentials, read_credentials
from dispatcher_client.certificates.errors import CertificatesError
from dispatcher_client.certificates.fleet_directory import FleetDirectory
from dispatcher_client.certificates.holder import Holder, Kind
from dispatcher_client.certificates.on_the_spot import make_fleet
from transport.credentials import Right

__all__ = [
    "CertificatesError",
    "Credentials",
    "FleetDirectory",
    "Holder",
    "LEAF_DAYS",
    "Kind",
    "Right",
    "make_fleet",
    "read_credentials",
]
