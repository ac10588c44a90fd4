"""Which split a verb uses where none is named."""

from __future__ import annotations

from sightline.core.errors import UsageError
from sightline.data.dataset import Dataset
from sightline.data.split import FOLDER, Split


def named_split(dataset: Dataset, name: str | None) -> Split:
    """The split of that name; without one the only one there is, the author's counting only where alone.

    Raises:
        UsageError: no name, and none or several to choose from.
        DatasetError: none of that name.
    """
    if name is not None:
        return dataset.split(name)
    names = sorted(path.stem for path in (dataset.root / FOLDER).glob("*.parquet"))
    made = [other for other in names if other != "author"] or names
    if len(made) != 1:
        remedy = f"name one with --split: {', '.join(names)}" if names else "make one with: sightline split"
        raise UsageError(f"has {len(names)} splits, and none was named", where=dataset.root, remedy=remedy)
    return dataset.split(made[0])
