"""Errors of certificates that an application or a command line can catch."""

from __future__ import annotations

from dispatcher_client.errors import DispatcherError


class CertificatesError(DispatcherError):
    """Base of all of them: certificates cannot be made, read or renewed."""


class NoAuthorityError(CertificatesError):
    """The directory holds no authority."""


class NameRefusedError(CertificatesError):
    """A name that no board, client or fleet can have."""


class NameTakenError(CertificatesError):
    """The name has credentials already, or the directory an authority."""


class UnknownNameError(CertificatesError):
    """No credentials of this name are in the directory."""


class HostRefusedError(CertificatesError):
    """An address that is neither an IP address nor a host name."""


class LifeRefusedError(CertificatesError):
    """A number of days below 1, or one beyond the end of the authority."""


class ForeignCertificateError(CertificatesError):
    """A certificate that none of the fleet's authorities has issued, or that is not of this project's kind."""


class KeyMismatchError(CertificatesError):
    """A private key is missing, or is another certificate's."""


class UnreadableError(CertificatesError):
    """A file is missing or is not what its name says."""


class AccessError(CertificatesError):
    """The disk or the permissions do not let a file be read or written, or another command is at work there."""


class ChangeOrderError(CertificatesError):
    """A step of the change of authority was asked for before the one it needs."""
