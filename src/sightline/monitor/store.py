"""The review store: predictions, hard pictures and late labels, in SQLite or PostgreSQL."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from sightline.core.errors import StorageError
from sightline.monitor import review_tables as tables
from sightline.monitor.review_items import FLAGGED, About, Find, Item, Plain, Prediction, ReviewOptions
from sightline.monitor.review_looks import HASH_BITS, Looks, alike, signed

# Rows looked at, at once, when room has to be made.
DROP_AT_ONCE = 64


@dataclass(slots=True)
class Written:
    """What became of finds: `kept` new, `joined` to one like it, `dropped` older ones to make room."""

    kept: int = 0
    joined: int = 0
    dropped: int = 0
    reasons: dict[tuple[str, str], int] = field(default_factory=dict)


class Store:
    """The database; every call is one transaction, from any thread.

    Args:
        engine: from `review_tables.connect`.
        options: budget and limits.

    Raises (every method):
        StorageError: the database cannot be reached or refuses.
    """

    def __init__(self, engine: sa.Engine, options: ReviewOptions | None = None) -> None:
        self._engine, self._options = engine, options or ReviewOptions()
        self._looks = Looks()

    @classmethod
    def open(cls, place: str | Path, options: ReviewOptions | None = None, *, create: bool = True) -> Store:
        """Open a store; see `review_tables.connect`."""
        return cls(tables.connect(place, create=create), options)

    @property
    def place(self) -> str:
        """Where it is, without a password."""
        return tables.shown(self._engine.url)

    def close(self) -> None:
        """Close its connections."""
        self._engine.dispose()

    @contextmanager
    def _begin(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except sa.exc.SQLAlchemyError as error:
            self._looks.forget()
            raise StorageError(
                f"the review store does not answer ({tables.reason(error)})", where=self.place
            ) from error
        except BaseException:
            self._looks.forget()
            raise

    def describe(self, model: str, version: str, about: About) -> None:
        """Say what must be known of a package; said again, the last word counts."""
        table, key = tables.packages, {"model": model, "version": version}
        with self._begin() as at:
            at.execute(table.delete().filter_by(**key))
            at.execute(table.insert().values(about=json.dumps(about.to_json()), **key))

    def packages(self) -> dict[tuple[str, str], About]:
        """By name and version."""
        with self._begin() as at:
            rows = at.execute(sa.select(tables.packages)).all()
        return {(r.model, r.version): About.from_json(json.loads(r.about)) for r in rows}

    def write(self, told: Sequence[Prediction], finds: Sequence[Find]) -> Written:
        """Keep predictions and finds, and make room."""
        written = Written()
        with self._begin() as at:
            if told:
                at.execute(tables.predictions.insert(), [_row(p) for p in told])
                _keep_newest(at, tables.predictions, self._options.most_predictions)
            for find in finds:
                self._put(at, find, written)
            if finds:
                written.dropped = self._make_room(at)
        return written

    def _put(self, at: sa.Connection, find: Find, written: Written) -> None:
        model = find.prediction.model
        for reason in find.reasons:
            written.reasons[model, reason] = written.reasons.get((model, reason), 0) + 1
        twin = self._twin(at, find)
        if twin is None:
            number = _insert(at, find)
            if find.hash is not None:
                self._looks.add(model, number, find.hash)
            written.kept += 1
            return
        row = at.execute(sa.select(tables.items).where(tables.items.c.id == twin)).one()
        _join(at, row, find.reasons, find.note, seen=row.seen + 1)
        written.joined += 1

    def _twin(self, at: sa.Connection, find: Find) -> int | None:
        """The item that shows the same as a find."""
        if find.hash is None:
            return None
        model, table = find.prediction.model, tables.items
        if not self._looks.knows(model):
            query = sa.select(table.c.id, table.c.hash).where(
                table.c.model == model, table.c.hash.is_not(None)
            )
            self._looks.learn(model, [(r.id, r.hash % (1 << HASH_BITS)) for r in at.execute(query)])
        for number in self._looks.near(model, find.hash):
            row = at.execute(sa.select(table.c.hash, table.c.thumb).where(table.c.id == number)).one_or_none()
            if row is None:
                self._looks.drop(model, number)
            elif alike(find.hash, find.thumb, row.hash % (1 << HASH_BITS), row.thumb):
                return number
        return None

    def _make_room(self, at: sa.Connection) -> int:
        """Drop what is worth least until the rest fits; how many went."""
        table, gone = tables.items, 0
        total, count = at.execute(sa.select(sa.func.sum(table.c.bytes), sa.func.count())).one()
        total = int(total or 0)
        order = (table.c.state == "open", table.c.value, table.c.created, table.c.id)
        while count and (total > self._options.budget_bytes or count > self._options.most_items):
            query = sa.select(table.c.id, table.c.model, table.c.bytes).order_by(*order).limit(DROP_AT_ONCE)
            for row in at.execute(query).all():
                if total <= self._options.budget_bytes and count <= self._options.most_items:
                    break
                _delete(at, [row.id])
                self._looks.drop(row.model, row.id)
                total, count, gone = total - row.bytes, count - 1, gone + 1
        return gone

    def flag(self, request_id: str, index: int, note: str = "") -> bool:
        """Mark an item that is there as flagged; whether there is one."""
        table = tables.items
        query = sa.select(table).where(table.c.request_id == request_id, table.c.picture_index == index)
        with self._begin() as at:
            row = at.execute(query.order_by(table.c.id.desc()).limit(1)).one_or_none()
            if row is None:
                return False
            _join(at, row, {"flagged": FLAGGED}, note, seen=row.seen)
            return True

    def items(
        self, *, model: str = "", reason: str = "", states: Sequence[str] = ("open",), limit: int = 0
    ) -> list[Item]:
        """Items, the most valuable first, of equals the newest.

        Args:
            model: only of this one.
            reason: only with this one among their reasons.
            states: only in these; empty for all.
            limit: at most so many; 0 for all.
        """
        table = tables.items
        query = sa.select(*(c for c in table.c if c.name != "thumb"))
        query = query.order_by(table.c.value.desc(), table.c.created.desc(), table.c.id.desc())
        if model:
            query = query.where(table.c.model == model)
        if states:
            query = query.where(table.c.state.in_(states))
        if reason:
            query = query.where(table.c.reasons.contains(f'"{reason}"', autoescape=True))
        if limit:
            query = query.limit(limit)
        with self._begin() as at:
            return [_item(row) for row in at.execute(query)]

    def picture(self, item: int) -> bytes:
        """The picture file of an item; empty where none is kept."""
        query = sa.select(tables.pictures.c.data).where(tables.pictures.c.item == item)
        with self._begin() as at:
            return bytes(at.execute(query).scalar_one_or_none() or b"")

    def mark(self, numbers: Sequence[int], state: str) -> int:
        """Put items into a state; how many there were."""
        changed = 0
        with self._begin() as at:
            for chunk in _chunks(numbers):
                query = tables.items.update().where(tables.items.c.id.in_(chunk)).values(state=state)
                changed += at.execute(query).rowcount
        return changed

    def counts(self) -> dict[str, int]:
        """Items by state, and `bytes` of their pictures, `predictions` and `feedback`."""
        table = tables.items
        with self._begin() as at:
            states = at.execute(sa.select(table.c.state, sa.func.count()).group_by(table.c.state)).all()
            total = at.execute(sa.select(sa.func.sum(table.c.bytes))).scalar_one() or 0
            rows = {
                name: at.execute(sa.select(sa.func.count()).select_from(t)).scalar_one()
                for name, t in (("predictions", tables.predictions), ("feedback", tables.feedback))
            }
        return {**{str(state): int(n) for state, n in states}, "bytes": int(total), **rows}

    def prediction(self, request_id: str, index: int) -> Prediction | None:
        """The latest answer of a request id."""
        table = tables.predictions
        query = sa.select(table).where(table.c.request_id == request_id, table.c.picture_index == index)
        with self._begin() as at:
            row = at.execute(query.order_by(table.c.id.desc()).limit(1)).one_or_none()
        return None if row is None else _prediction(row)

    def tell(self, told: Sequence[tuple[Prediction, Mapping[str, Any]]]) -> None:
        """Keep labels for predictions; told again, the last word counts."""
        table = tables.feedback
        with self._begin() as at:
            for prediction, labels in told:
                row = _row(prediction)
                key = {k: row[k] for k in ("model", "version", "request_id", "picture_index")}
                at.execute(table.delete().filter_by(**key))
                at.execute(table.insert().values(told=time.time(), labels=json.dumps(dict(labels)), **row))

    def told(
        self, model: str, version: str, *, most: int = 10_000
    ) -> list[tuple[Prediction, Mapping[str, Any]]]:
        """The latest labels of a package with what was predicted, newest first."""
        table = tables.feedback
        query = sa.select(table).where(table.c.model == model, table.c.version == version)
        with self._begin() as at:
            rows = at.execute(query.order_by(table.c.told.desc()).limit(most)).all()
        return [(_prediction(row), json.loads(row.labels)) for row in rows]


def _row(prediction: Prediction) -> Plain:
    return {
        "model": prediction.model, "version": prediction.version, "request_id": prediction.request_id,
        "picture_index": prediction.index, "created": prediction.created,
        "width": prediction.size_wh[0], "height": prediction.size_wh[1],
        "results": json.dumps(prediction.results, ensure_ascii=False, allow_nan=False),
    }  # fmt: skip


def _prediction(row: Any) -> Prediction:
    return Prediction(
        row.model, row.version, row.request_id, row.picture_index, row.created,
        (row.width, row.height), json.loads(row.results),
    )  # fmt: skip


def _item(row: Any) -> Item:
    return Item(
        row.id, _prediction(row), json.loads(row.reasons), row.state, row.seen, row.bytes, row.suffix,
        row.note, row.group_name,
    )  # fmt: skip


def _insert(at: sa.Connection, find: Find) -> int:
    values = {
        **_row(find.prediction), "reasons": json.dumps(dict(find.reasons)), "value": find.value,
        "state": "open", "seen": 1, "bytes": len(find.picture), "suffix": find.suffix, "note": find.note,
        "group_name": find.group, "thumb": find.thumb,
        "hash": None if find.hash is None else signed(find.hash),
    }  # fmt: skip
    key = at.execute(tables.items.insert().values(**values)).inserted_primary_key
    number = int(key[0]) if key else 0
    if find.picture:
        at.execute(tables.pictures.insert().values(item=number, data=find.picture))
    return number


def _join(at: sa.Connection, row: Any, reasons: Mapping[str, float], note: str, *, seen: int) -> None:
    """Add reasons to an item; a flag opens again what was dismissed."""
    merged = json.loads(row.reasons)
    for name, value in reasons.items():
        merged[name] = max(value, merged.get(name, 0.0))
    state = "open" if "flagged" in reasons and row.state == "dismissed" else row.state
    values = {
        "reasons": json.dumps(merged), "value": max(merged.values()), "seen": seen, "state": state,
        "note": note or row.note,
    }  # fmt: skip
    at.execute(tables.items.update().where(tables.items.c.id == row.id).values(**values))


def _delete(at: sa.Connection, numbers: Sequence[int]) -> None:
    at.execute(tables.pictures.delete().where(tables.pictures.c.item.in_(numbers)))
    at.execute(tables.items.delete().where(tables.items.c.id.in_(numbers)))


def _keep_newest(at: sa.Connection, table: sa.Table, most: int) -> None:
    """Drop the oldest rows beyond a number; rows are numbered as they come."""
    last = at.execute(sa.select(sa.func.max(table.c.id))).scalar_one()
    if last is not None and last > most:
        at.execute(table.delete().where(table.c.id <= last - most))


def _chunks(numbers: Sequence[int], size: int = 500) -> Iterator[Sequence[int]]:
    for start in range(0, len(numbers), size):
        yield numbers[start : start + size]
