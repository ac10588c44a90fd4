"""The tables of the review store, and the engine behind them: SQLite in a folder, or any SQLAlchemy URL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from sightline.core.errors import StorageError, UsageError
from sightline.core.files import refusals

FILE = "review.db"
# Seconds a second process may hold SQLite's one write lock.
BUSY_S = 5
CONNECT_S = 5

meta = sa.MetaData()

packages = sa.Table(
    "sightline_packages",
    meta,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Text, primary_key=True),
    sa.Column("about", sa.Text, nullable=False),
)


def _of_prediction() -> list[sa.Column[Any]]:
    return [
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False, index=True),
        sa.Column("picture_index", sa.Integer, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("results", sa.Text, nullable=False),
    ]


items = sa.Table(
    "sightline_review_items",
    meta,
    sa.Column("id", sa.Integer, primary_key=True),
    *_of_prediction(),
    sa.Column("reasons", sa.Text, nullable=False),
    sa.Column("value", sa.Float, nullable=False, index=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("seen", sa.Integer, nullable=False),
    sa.Column("bytes", sa.Integer, nullable=False),
    sa.Column("suffix", sa.Text, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("group_name", sa.Text, nullable=False),
    sa.Column("hash", sa.BigInteger),
    sa.Column("thumb", sa.LargeBinary, nullable=False),
)

pictures = sa.Table(
    "sightline_review_pictures",
    meta,
    sa.Column("item", sa.Integer, sa.ForeignKey(items.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("data", sa.LargeBinary, nullable=False),
)

predictions = sa.Table(
    "sightline_predictions", meta, sa.Column("id", sa.Integer, primary_key=True), *_of_prediction()
)

feedback = sa.Table(
    "sightline_feedback",
    meta,
    sa.Column("id", sa.Integer, primary_key=True),
    *_of_prediction(),
    sa.Column("told", sa.Float, nullable=False),
    sa.Column("labels", sa.Text, nullable=False),
    sa.UniqueConstraint("model", "version", "request_id", "picture_index"),
)


def address(place: str | Path) -> sa.URL:
    """The address of a store: a folder for SQLite, or a URL; `postgresql://` is spoken by pg8000.

    Raises:
        UsageError: it is no address that SQLAlchemy reads.
    """
    if "://" not in str(place):
        return sa.URL.create("sqlite", database=str(Path(place).absolute() / FILE))
    try:
        url = sa.make_url(str(place))
    except (sa.exc.ArgumentError, ValueError) as error:
        raise UsageError("the address of the review store cannot be read") from error
    if url.drivername in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+pg8000")
    return url


def shown(url: sa.URL) -> str:
    """An address without its password."""
    return str(url.database) if url.drivername == "sqlite" else url.render_as_string(hide_password=True)


def connect(place: str | Path, *, create: bool = True) -> sa.Engine:
    """An engine whose tables are there.

    Args:
        place: as `address` reads it.
        create: make the folder and the tables; else they must be there.

    Raises:
        UsageError: no address, no driver for it, or no store there.
        StorageError: it cannot be reached or written to.
    """
    url = address(place)
    sqlite = url.get_backend_name() == "sqlite"
    if sqlite and url.database:
        file = Path(url.database)
        if create:
            with refusals(file):
                file.parent.mkdir(parents=True, exist_ok=True)
        elif not file.is_file():
            raise UsageError(f"holds no {FILE}", where=file.parent, remedy="serve with --review FOLDER")
    try:
        engine = sa.create_engine(url, **_options(sqlite, url.drivername))
    except (sa.exc.ArgumentError, ModuleNotFoundError) as error:
        raise UsageError(f"there is no driver for {url.drivername!r} ({error})") from error
    if sqlite:
        sa.event.listen(engine, "connect", _pragmas)
    try:
        meta.create_all(engine)
    except sa.exc.SQLAlchemyError as error:
        engine.dispose()
        raise StorageError(
            f"the review store cannot be opened ({reason(error)})", where=shown(url)
        ) from error
    return engine


def reason(error: sa.exc.SQLAlchemyError) -> str:
    """What the database said, on one line, without the statement and its values."""
    return " ".join(str(getattr(error, "orig", None) or error).split())[:300]


def _options(sqlite: bool, driver: str) -> dict[str, Any]:
    if sqlite:
        # A connection for each use: one that is kept would go on writing to a file that was taken away.
        return {"poolclass": sa.NullPool, "connect_args": {"timeout": BUSY_S}}
    options: dict[str, Any] = {"pool_pre_ping": True, "pool_size": 2, "max_overflow": 8}
    if driver == "postgresql+pg8000":
        options["connect_args"] = {"timeout": CONNECT_S}
    return options


def _pragmas(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
