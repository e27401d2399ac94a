"""Parts of boardline that a small client does not install."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dispatcher_client.errors import MissingExtraError


@contextmanager
def extra(name: str, who_needs: str) -> Iterator[None]:
    """For imports that take an extra of the package.

    Args: who_needs: how the sentence begins, as "profiling needs".
    Raises: MissingExtraError: a package of it is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(
            f"{who_needs} the package {error.name}, which is not installed here: pip install 'boardline[{name}]'."
        ) from error
