"""The reply that a request is promised, and the way to say that nobody waits for it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError

from transport.frame import EncodedTensor


class Reply(Future[list[EncodedTensor]]):
    """Ends with the reply's tensors or a DispatcherError, once no board works on the request any more.

    Whoever waits no longer abandons it: the boards are told to drop the request, and the reply ends when they have. So a
    request that still takes a board's time still takes its place in a window.
    """

    def __init__(self, on_abandon: Callable[[], None] = lambda: None) -> None:
        """Args: on_abandon: must return at once."""
        super().__init__()
        self._on_abandon = on_abandon

    def abandon(self) -> None:
        """Nobody waits any more. Does nothing to a reply that has ended; never waits."""
        if not self.done():
            self._on_abandon()

    def end(self, outcome: list[EncodedTensor] | BaseException) -> None:
        """Ends it, with tensors or an error; does nothing if it has ended."""
        try:
            if isinstance(outcome, BaseException):
                self.set_exception(outcome)
            else:
                self.set_result(outcome)
        except InvalidStateError:
            pass
