"""The service's observer that fills the review store: in a thread of its own, bounded, never in the way."""

from __future__ import annotations

import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from sightline.core.errors import SightlineError, StorageError
from sightline.core.manifest import Manifest
from sightline.core.media import decode_picture
from sightline.monitor.feedback import live_quality, tell
from sightline.monitor.review_items import (
    FLAGGED,
    MEGABYTE,
    About,
    Find,
    Prediction,
    ReviewOptions,
)
from sightline.monitor.review_looks import look_of
from sightline.monitor.review_pictures import eight_bits, stored
from sightline.monitor.review_reasons import Judge, Novelty
from sightline.monitor.review_waiting import Answered, Silent, Tally, Waiting
from sightline.monitor.store import Store, Written

Array = NDArray[Any]

# Most answers written in one transaction, and how long the first of them waits for others.
AT_ONCE = 64
GATHER_S = 0.2
# Seconds until a store that does not answer is tried again: doubled each time.
AGAIN_S = (0.5, 30.0)
# Live quality is measured so often, on at most so many of the latest labels.
SCORE_S = 15.0
MOST_SCORED = 2000


class ReviewQueue:
    """Looks at every answer, and stores it; pictures that are hard, new or flagged with their file.

    The store may go away: answers wait, as many as `ReviewOptions` allow, while it is tried again and
    again; what does not fit is counted as lost. No method waits for the store but `close`.

    Args:
        open_store: opens the store; called again after it failed.
        manifest: gives the manifest of a name and version in service, or None.
        options: what is kept.
        tally: told of what was kept and lost.
        say: called with one line when the store goes or comes back.
    """

    def __init__(
        self,
        open_store: Callable[[], Store],
        manifest: Callable[[str, str], Manifest | None],
        options: ReviewOptions | None = None,
        tally: Tally | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.options = options or ReviewOptions()
        self._open, self._manifest, self._say = open_store, manifest, say
        self._tally: Tally = tally or Silent()
        self._queue: queue.Queue[Waiting | Find] = queue.Queue(self.options.waiting)
        self._recent: OrderedDict[tuple[str, int], Waiting] = OrderedDict()
        self._held = 0
        self._lock = threading.Lock()
        self._judges: dict[tuple[str, str], Judge] = {}
        self._abouts: dict[tuple[str, str], About] = {}
        self._described: set[tuple[str, str]] = set()
        self._store: Store | None = None
        self._scored_at = 0.0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="review", daemon=True)
        self._thread.start()

    def answered(self, picture: Answered) -> None:
        """Take a picture that was answered; returns at once."""
        key = (picture.request_id, picture.index)
        with self._lock:
            again = self._recent.pop(key, None)
            # Frames of one WebSocket have one id: that is what makes them a stream.
            waiting = Waiting.of(picture, picture.request_id if again is not None else "")
            self._recent[key] = waiting
            self._held += waiting.cost - (again.cost if again is not None else 0)
            limit = self.options.waiting_mb * MEGABYTE
            while self._held > limit or len(self._recent) > 8 * self.options.waiting:
                self._held -= self._recent.popitem(last=False)[1].cost
        self._hand_over(waiting)

    def _hand_over(self, found: Waiting | Find) -> bool:
        try:
            self._queue.put_nowait(found)
        except queue.Full:
            self._tally.review_lost("full", 1)
            return False
        return True

    def flag(self, request_id: str, index: int = 0, note: str = "") -> bool:
        """Keep a picture because its client says so; whether it is still known.

        Raises:
            StorageError: it is not among the latest answers, and the store does not answer.
        """
        with self._lock:
            waiting = self._recent.get((request_id, index))
        if waiting is None:
            return self.store().flag(request_id, index, note)
        return self._hand_over(self._find(waiting, {"flagged": FLAGGED}, note))

    def latest(self, request_id: str, index: int) -> Prediction | None:
        """An answer by its request id, among the latest ones or in the store.

        Raises:
            StorageError: it is not among the latest, and the store does not answer.
        """
        with self._lock:
            waiting = self._recent.get((request_id, index))
        if waiting is None:
            return self.store().prediction(request_id, index)
        self._about(waiting.model, waiting.version)
        return waiting.prediction()

    def store(self) -> Store:
        """The store, for a caller that can wait.

        Raises:
            StorageError: it cannot be opened.
        """
        found = self._store
        if found is None:
            found = self._store = self._open()
        return found

    def close(self) -> None:
        """Store what waits, if the store answers, and end the thread."""
        self._closing.set()
        self._thread.join()
        if self._store is not None:
            self._store.close()

    def tell(self, rows: Sequence[tuple[str, int, Any]]) -> tuple[int, list[str]]:
        """Take labels for past answers: request id, index, labels as `feedback.check_labels` reads them.

        Returns:
            How many were taken, and request ids that nobody knows any more.

        Raises:
            UsageError: labels that cannot be taken; none of the rows is then.
            StorageError: the store does not answer.
        """
        found, unknown = tell(self.store(), rows, self.latest, self._abouts)
        self._scored_at = 0.0
        return found, unknown

    def _score(self) -> None:
        """Say how good the answers were whose labels came; a store that does not answer is told elsewhere."""
        if self._closing.is_set() or time.monotonic() - self._scored_at < SCORE_S:
            return
        self._scored_at = time.monotonic()
        try:
            for (model, version), about in list(self._abouts.items()):
                rows = self.store().told(model, version, most=MOST_SCORED)
                for quality in live_quality(rows, about):
                    self._tally.quality(model, version, quality)
        except (StorageError, OSError):
            self._tally.review_up(False)
            self._let_go()

    def _work(self) -> None:
        while True:
            batch = self._batch()
            if not batch and self._closing.is_set():
                return
            self._score()
            told: list[Prediction] = []
            finds: list[Find] = []
            for found in batch:
                try:
                    self._look_at(found, told, finds)
                except Exception:  # one odd picture must not end the queue
                    self._tally.review_lost("fault", 1)
            if batch:
                self._keep(told, finds, len(batch))

    def _batch(self) -> list[Waiting | Find]:
        """What came within a moment, perhaps nothing."""
        batch: list[Waiting | Find] = []
        end = 0.0
        while len(batch) < AT_ONCE:
            left = GATHER_S if not batch else end - time.monotonic()
            if left <= 0:
                break
            try:
                batch.append(self._queue.get(timeout=left))
            except queue.Empty:
                break
            else:
                end = end or time.monotonic() + (0 if self._closing.is_set() else GATHER_S)
        return batch

    def _look_at(self, found: Waiting | Find, told: list[Prediction], finds: list[Find]) -> None:
        if isinstance(found, Find):
            finds.append(found)
            return
        told.append(found.prediction())
        judge = self._judge(found.model, found.version)
        reasons = judge(found.results, found.embedding, found.source)
        if reasons:
            finds.append(self._find(found, reasons, "", told[-1]))

    def _judge(self, model: str, version: str) -> Judge:
        key = (model, version)
        if key not in self._judges:
            manifest, about, novelty = self._manifest(model, version), self._about(model, version), None
            try:
                novelty = Novelty.of(manifest) if manifest else None
            except SightlineError as error:
                self._say(f"novelty of {model} is not measured: {error}")
            thresholds = about.thresholds if about is not None else {}
            self._judges[key] = Judge(self.options, thresholds, novelty)
        return self._judges[key]

    def _about(self, model: str, version: str) -> About | None:
        """What must be known of a package, while it is in service."""
        key = (model, version)
        if key not in self._abouts:
            manifest = self._manifest(model, version)
            if manifest is None:
                return None
            signature = next(iter(manifest.stages.values())).signature
            thresholds = dict(signature.thresholds)
            self._abouts[key] = About(tuple(signature.tasks), signature.classes, thresholds, manifest.quality)
        return self._abouts[key]

    def _find(
        self, found: Waiting, reasons: Mapping[str, float], note: str = "", told: Prediction | None = None
    ) -> Find:
        prediction = told or found.prediction()
        pixels = found.pixels if found.pixels is not None else decode_picture(found.data)
        hash, thumb = look_of(eight_bits(pixels))
        keep = self.options.privacy == "keep"
        data, suffix = stored(found.data, pixels, self.options.privacy)
        return Find(prediction, reasons, data, suffix, hash, thumb if keep else b"", note, found.source)

    def _keep(self, told: Sequence[Prediction], finds: Sequence[Find], count: int) -> None:
        """Write what came of `count` answers and flags, again and again until it is written or all ends."""
        pause, (_, longest) = AGAIN_S[0], AGAIN_S
        while True:
            try:
                self._count(self._write(told, finds))
                return
            except (StorageError, OSError) as error:
                if pause == AGAIN_S[0]:
                    self._say(f"{error}; answers wait, and what does not fit is lost")
                self._tally.review_up(False)
                self._let_go()
            if self._closing.wait(pause):
                self._tally.review_lost("store", count + self._queue.qsize())
                self._drain()
                return
            pause = min(2 * pause, longest)

    def _write(self, told: Sequence[Prediction], finds: Sequence[Find]) -> Written:
        store = self.store()
        for key, about in list(self._abouts.items()):
            if key not in self._described:
                store.describe(*key, about)
                self._described.add(key)
        return store.write(told, finds)

    def _count(self, written: Written) -> None:
        self._tally.review_up(True)
        for (model, reason), n in written.reasons.items():
            self._tally.review_kept(model, reason, n)
        if written.dropped:
            self._tally.review_lost("budget", written.dropped)

    def _let_go(self) -> None:
        """Open the store anew next time: its tables may have gone with it."""
        found, self._store = self._store, None
        self._described.clear()
        if found is not None:
            found.close()

    def _drain(self) -> None:
        while not self._queue.empty():
            self._queue.get_nowait()
