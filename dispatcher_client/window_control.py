"""How many frames a chain needs in flight: the fewest that keep its slowest step busy.

By Little's law a chain that answers R frames per second, each L0 seconds after it was sent if nothing waits, has R * L0
frames under way; whatever else is in flight waits:

    q = R * (L - L0) = R * (waits + way - way alone)

Below q = 0 the slowest step starves; each frame in q adds one time of the slowest step to the latency. So q is kept in a band:
from just above 0 where every frame takes equally long, below 2 where times vary. It is the same q whether a stage or a link
is slowest, and whether frames wait at a stage or on the way; with several dispatchers, each keeps a queue of its own.

The way alone (links, buffers, the dispatcher) is the least mean that was seen. A queue in a link that is never empty would
pass for it, so where the way is long, the window is narrowed now and then for a round trip, to look.

Source: L. Brakmo, L. Peterson, TCP Vegas, 1995 (q, and a band for it); N. Cardwell et al., BBR, 2016 (narrowing to look).
Unlike both, stages tell what they worked and how long frames waited, so only the way between them is estimated, and the
band follows from how much the stages' times vary.
"""

from __future__ import annotations

import math

from dispatcher_client.answer_figures import Answered, AnswerFigures, AnswerSums

# Figures without another source are the best of those tried on the simulated chains of tests/dispatcher_client.

# The band of q: one frame wide, as a window can only be changed by one, and a little for errors of the estimate.
_BAND = 1.15
_LEAST_QUEUE = 0.1
# Chains of 2 to 8 equal stages keep 0.97 of their throughput from this much q per spread on.
_QUEUE_PER_SPREAD = 3.5
# Two stage times are the most that queueing may add. Where times vary much, the band is narrower than a frame: no window may
# fit, and then the smaller one is kept for some time before the larger is tried again, unless it misses by far.
_MOST_QUEUE = 2.0
_HIGHEST_LEAST_QUEUE = 1.25
_TRY_AGAIN_AFTER_ROUNDS = 60
_MISSES_BY_FAR = 0.5
# A stage that computes this share of the time gains next to nothing from a longer queue, whatever the spread.
_BUSY = 0.97
# A mean over fewer answers is moved by one of them.
_FEWEST_ANSWERS = 6
# A round is a round trip: as many answers as fit the window. q's doubt shrinks with the root of the rounds; after these
# many there is none.
_ROUNDS = 8
_DOUBT_PER_SPREAD = 2.0
_MOST_DOUBT = 0.75
# Between frames in flight by Little's law and the window. Fewer: the application's doing, which says nothing about the
# chain. More: answers of a burst, which began with a queue.
_STEADY_WITHIN = 0.5
# A queue that passes for the way is no longer than the way: below this many frames it is not worth looking for.
_HIDDEN_QUEUE = 0.5
# A look takes one round trip at a lower rate; less often while it finds what was known.
_LOOK_AFTER_ROUNDS = 15
_LOOK_LESS_OFTEN = 3
_LOOK_AFTER_AT_MOST_ROUNDS = 120
_SAME_WAY = 0.15
# Beyond it frames wait in buffers that no step asks for, and in the application's memory.
_MOST_PER_STAGE = 4
_MOST_OF_SHORT_CHAINS = 16


class WindowControl:
    """Sets one chain's window, from its stages and one more to 4 per stage (16 if that is more). Not thread-safe."""

    def __init__(self, n_stages: int) -> None:
        self._most = max(_MOST_OF_SHORT_CHAINS, _MOST_PER_STAGE * n_stages)
        self._size = self._settled = n_stages + 1
        self._set_at_s = -math.inf
        self._sums = AnswerSums(None)
        self._rounds = 0.0
        self._way_alone_s = self._work_alone_s = math.inf
        self._is_looking = False
        self._looked_at = -math.inf  # this and the next are points in rounds
        self._look_every = _LOOK_AFTER_ROUNDS
        self._too_large = 0
        self._try_again_at = 0.0

    @property
    def size(self) -> int:
        """Most frames in flight, at present."""
        return self._size

    @property
    def settled_size(self) -> int:
        """The same, but for the moments in which the window is narrowed to look at the way alone."""
        return self._settled

    def hear(self, answered: Answered) -> None:
        """Takes an answered request into account."""
        if answered.sent_at_s < self._set_at_s:  # it met the queue of another window
            self._sums = AnswerSums(answered.at_s)
            return
        self._sums.add(answered)
        self._rounds += 1 / self._size
        if self._sums.count < (self._size if self._is_looking else max(_FEWEST_ANSWERS, self._size)):
            return
        figures = self._sums.figures()
        if figures is None:
            return
        if self._is_looking:
            self._stop_looking(figures, answered.at_s)
        else:
            self._judge(figures, answered.at_s)

    def _judge(self, figures: AnswerFigures, now_s: float) -> None:
        self._way_alone_s = min(self._way_alone_s, figures.way_s)
        is_last = figures.count >= _ROUNDS * self._size
        if is_last or math.isinf(self._work_alone_s):  # of few answers, some mean is low by chance
            self._work_alone_s = min(self._work_alone_s, figures.work_s)
        if figures.in_flight < self._size - _STEADY_WITHIN:
            self._sums = AnswerSums(now_s)
            return
        if figures.in_flight > self._size + _STEADY_WITHIN and not is_last:
            return
        wanted = self._wanted(figures)
        if self._has_to_look(figures, wanted):
            self._is_looking = True
            self._set(max(1, self._size // 2, self._size - math.ceil(self._hidden(figures) + 1)), now_s)
        elif wanted != self._size:
            self._settled = wanted
            self._set(wanted, now_s)
        elif is_last:
            self._sums = AnswerSums(now_s)

    def _wanted(self, figures: AnswerFigures) -> int:
        """The size that brings q into its band."""
        queue = figures.rate_per_s * (figures.wait_s + figures.way_s - self._way_alone_s)
        least, most = self._band(figures)
        rounds = figures.count / self._size
        doubt = min(_MOST_DOUBT, _DOUBT_PER_SPREAD * figures.spread / math.sqrt(rounds)) if rounds < _ROUNDS else 0.0
        if queue > most + doubt:
            self._too_large, self._try_again_at = self._size, self._rounds + _TRY_AGAIN_AFTER_ROUNDS
            return max(1, self._size - max(1, round(queue - (least + most) / 2)))
        if queue >= least - doubt or figures.rate_per_s * figures.slowest_s > _BUSY:
            return self._size
        larger = min(self._most, self._enlarged(figures, (least + most) / 2))
        is_known = larger == self._too_large and self._rounds < self._try_again_at
        return self._size if is_known and queue > max(least / 2, least - _MISSES_BY_FAR) else larger

    def _band(self, figures: AnswerFigures) -> tuple[float, float]:
        """What q may be. Work that load stretches counts as queueing, as long as that starves no stage."""
        highest = max(_LEAST_QUEUE, _HIGHEST_LEAST_QUEUE - self._stretched(figures))
        least = min(highest, _LEAST_QUEUE + _QUEUE_PER_SPREAD * figures.spread)
        return least, min(_MOST_QUEUE, least + _BAND)

    def _stretched(self, figures: AnswerFigures) -> float:
        return figures.rate_per_s * max(0.0, figures.work_s - self._work_alone_s)

    def _hidden(self, figures: AnswerFigures) -> float:
        """The longest queue that may pass for way or work."""
        return figures.rate_per_s * figures.way_s + self._stretched(figures)

    def _enlarged(self, figures: AnswerFigures, queue: float) -> int:
        """Half the way to what is enough if the slowest step is a stage; were it a link, less would be."""
        if figures.slowest_s <= 0:
            return self._size + 1
        enough = min((figures.work_s + self._way_alone_s) / figures.slowest_s + queue, 2.0 * self._size)
        return self._size + max(1, round((enough - self._size) / 2))

    def _has_to_look(self, figures: AnswerFigures, wanted: int) -> bool:
        """Whether it is time to, or a longer way is about to be taken for a queue."""
        if wanted > self._size or self._size == 1:
            return False
        rounds = self._rounds - self._looked_at
        is_due = rounds > self._look_every and self._hidden(figures) > _HIDDEN_QUEUE
        added = figures.rate_per_s * (figures.way_s - self._way_alone_s)
        is_doubtful = rounds > _LOOK_AFTER_ROUNDS and wanted < self._size and added > _HIDDEN_QUEUE
        return is_due or is_doubtful

    def _stop_looking(self, figures: AnswerFigures, now_s: float) -> None:
        is_same = abs(figures.way_s - self._way_alone_s) <= _SAME_WAY * figures.way_s
        self._look_every = (
            min(_LOOK_LESS_OFTEN * self._look_every, _LOOK_AFTER_AT_MOST_ROUNDS) if is_same else _LOOK_AFTER_ROUNDS
        )
        self._way_alone_s, self._work_alone_s = figures.way_s, figures.work_s
        self._is_looking = False
        self._looked_at = self._rounds
        self._set(self._settled, now_s)

    def _set(self, size: int, now_s: float) -> None:
        self._size = size
        self._set_at_s = now_s
        self._sums = AnswerSums(None)
