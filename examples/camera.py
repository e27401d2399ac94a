"""`python -m examples.camera BUNDLE BOARDS SOURCE`: what a camera sees now, as fast as the boards are, or from a video file.

SOURCE is a camera's number, a video file or a stream's address, whatever OpenCV opens. Frames that come while the chain has no
room are dropped: an answer is always about the newest picture there was.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dispatcher_client import Dispatcher
from dispatcher_client.photographs import as_input, best_classes

Picture = npt.NDArray[np.uint8]
_SILENCE_S = 10.0


class LatestFrames:
    """Frames of a camera, the newest only: one that nobody has taken gives way to the next.

    with LatestFrames("0") as frames:
        for number, picture in frames: ...

    Attributes: n_read, n_dropped: frames that the camera gave, and those of them that nobody took.
    """

    def __init__(self, source: str) -> None:
        """Raises: SystemExit: OpenCV cannot open it."""
        self._capture = cv2.VideoCapture(int(source)) if source.isdecimal() else cv2.VideoCapture(source)
        if not self._capture.isOpened():
            sys.exit(f"{source} cannot be opened: expected a camera's number, a video file or a stream's address")
        # A file gives frames as fast as they are asked for; a camera when they are there.
        rate = 0.0 if source.isdecimal() or "://" in source else self._capture.get(cv2.CAP_PROP_FPS)
        self._every_s = 1 / rate if rate > 0 else 0.0
        self.n_read = self.n_dropped = 0
        self._newest: tuple[int, Picture] | None = None
        self._has_ended = False
        self._changed = threading.Condition()
        self._source = source
        # A read of a dead camera may never return, and must not hold the program.
        self._reader = threading.Thread(target=self._read, name="camera", daemon=True)

    def __enter__(self) -> LatestFrames:
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        self._reader.join(_SILENCE_S)
        if not self._reader.is_alive():
            self._capture.release()

    def __iter__(self) -> Iterator[tuple[int, Picture]]:
        """Each frame's number and its picture, (H, W, 3) in the order RGB; waits for one that was not given before.

        Raises: TimeoutError: none has come for ten seconds.
        """
        while True:
            with self._changed:
                if not self._changed.wait_for(lambda: self._newest is not None or self._has_ended, _SILENCE_S):
                    raise TimeoutError(
                        f"{self._source} has given no frame for {_SILENCE_S:g} s. Is the camera still there?"
                    )
                if self._newest is None:
                    return
                newest, self._newest = self._newest, None
            yield newest

    def _read(self) -> None:
        due_s = time.monotonic()
        while not self._has_ended:
            is_there, picture = self._capture.read()
            if not is_there:
                return self._end()
            with self._changed:
                self.n_dropped += self._newest is not None
                self._newest = self.n_read, np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
                self.n_read += 1
                due_s += self._every_s
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._has_ended, max(0.0, due_s - time.monotonic()))
        return None

    def _end(self) -> None:
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()


def main(bundle: str, boards: str, source: str) -> None:
    """Prints the likeliest class of each frame that was taken, and in the end how many were."""
    taken: deque[int] = deque()  # numbers of the frames whose answers are to come, in order
    # A window of one: frames that wait in the chain would be old when they are answered.
    with Dispatcher(bundle, boards, window=1) as chain, LatestFrames(source) as frames:

        def inputs() -> Iterator[Any]:
            for number, picture in frames:
                taken.append(number)
                yield as_input(chain.manifest, picture)

        for answer in chain.stream(inputs()):
            (best,) = best_classes(chain.manifest, answer, 1)
            print(f"frame {taken.popleft()}: {best.label} {best.score:.2f}", flush=True)
    print(f"{frames.n_read} frames, {frames.n_dropped} dropped")


if __name__ == "__main__":
    main(*sys.argv[1:])
