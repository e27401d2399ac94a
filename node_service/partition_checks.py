"""Checks of a partition before it is loaded: its structure, operators and memory, and a trial in a process of its own."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from node_service.checked_partitions import Checked, CheckedPartitions
from node_service.errors import StoreError, TrialError
from node_service.partition_policy import require_memory, require_operators
from node_service.trial_worker import TrialRequest
from node_service.worker_process import WorkerProcess
from runtime import (
    DelegateError,
    MalformedModelError,
    MemoryShortError,
    ModelLoadError,
    OperatorRefusedError,
    TfliteRuntime,
    TfliteRuntimeError,
)
from runtime.model_check import Findings

_log = logging.getLogger(__name__)
TRIAL_LOADS = ("always", "new", "never")
# A client waits for a load for twice as long.
_TRIAL_TIMEOUT_S = 60.0
_KINDS = (DelegateError, MalformedModelError, MemoryShortError, ModelLoadError, OperatorRefusedError)
_ERRORS: dict[str, type[TfliteRuntimeError]] = {kind.__name__: kind for kind in _KINDS}


class PartitionChecks:
    """For one partition at a time."""

    def __init__(
        self,
        runtime_choice: str,
        checked: CheckedPartitions,
        worker: WorkerProcess,
        available_bytes: Callable[[], int],
        *,
        allowed_operators: Collection[str] = (),
        trial_load: str = "new",
        timeout_s: float = _TRIAL_TIMEOUT_S,
    ) -> None:
        """Args: available_bytes: of memory, now; 0 if that is not known. trial_load: one of TRIAL_LOADS."""
        self._choice = runtime_choice
        self._checked = checked
        self._worker = worker
        self._available_bytes = available_bytes
        self._allowed = sorted(allowed_operators)
        self._trial_load = trial_load
        self._timeout_s = timeout_s

    async def require_sound(
        self, paths: Mapping[str, Path], runtime: TfliteRuntime, threads: int, *, is_new: bool = True
    ) -> int:
        """Returns if the partition's files, by hash, may be loaded. What passed once with this runtime is not tried again.

        Args: is_new: it did not serve before the service's restart; then it need not fit the memory that is free now.
        Returns: memory in bytes that it takes at the least.
        Raises: MalformedModelError, OperatorRefusedError, MemoryShortError: see `trial_worker`. ModelLoadError: the runtime or its
            delegate refuses it. DelegateError: the delegate cannot be loaded. TrialError: it crashes the runtime, or takes too
            long.
        """
        available_bytes = self._available_bytes() if is_new else 0  # before the trials take some
        need_bytes = 0
        try:
            for sha256, path in paths.items():
                need_bytes += await self._require_sound(path, sha256, runtime, threads, available_bytes, need_bytes)
        finally:
            await self._worker.close()  # a malformed partition may have spoilt the process for the next one
        return need_bytes

    async def _require_sound(
        self, path: Path, sha256: str, runtime: TfliteRuntime, threads: int, available_bytes: int, others_bytes: int
    ) -> int:
        known = await asyncio.to_thread(self._checked.find, sha256)
        if known is not None and not self._must_be_tried(known, runtime):
            require_operators(known.findings, self._allowed)
            require_memory(known.findings, available_bytes, others_bytes)
            return known.findings.need_bytes
        findings = await self._ask(path, runtime, threads, available_bytes, others_bytes)
        tried_with = _words(runtime) if self._trial_load != "never" else ""
        try:
            await asyncio.to_thread(self._checked.keep, sha256, Checked(findings, tried_with))
        except StoreError as error:  # it is sound all the same
            _log.warning("that partition %s was checked is not remembered: %s", sha256, error)
        return findings.need_bytes

    async def close(self) -> None:
        """Ends a trial that is under way."""
        await self._worker.close()

    def _must_be_tried(self, known: Checked, runtime: TfliteRuntime) -> bool:
        return self._trial_load == "always" or (self._trial_load == "new" and known.tried_with != _words(runtime))

    async def _ask(
        self, path: Path, runtime: TfliteRuntime, threads: int, available_bytes: int, others_bytes: int
    ) -> Findings:
        request = TrialRequest(
            str(path.resolve()),
            self._choice,
            runtime.delegate_texts,
            threads,
            self._allowed,
            available_bytes,
            others_bytes,
            math.ceil(self._timeout_s * threads),
            runs=self._trial_load != "never",
        )
        answer: dict[str, Any] = await self._worker.ask(asdict(request), self._timeout_s)
        if "error" in answer:
            raise _ERRORS.get(answer["error"], TrialError)(answer["message"])
        found = answer["findings"]
        return Findings(tuple(found["foreign_operators"]), found["need_bytes"])


def _words(runtime: TfliteRuntime) -> str:
    """What a partition was tried with."""
    identity = runtime.identity
    parts = (identity.runtime, identity.version, identity.architecture, identity.processor, identity.delegate)
    return " ".join(part for part in parts if part)
