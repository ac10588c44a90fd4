"""What a run can know to be wrong before the long stages: refused then, not hours later."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from sightline.core.errors import AuditFailed, DatasetError, MissingExtra, ProblemError
from sightline.core.files import folder_written_whole
from sightline.core.problem import Problem
from sightline.lifecycle.verdict import check_criteria

if TYPE_CHECKING:
    from sightline.data.dataset import Dataset
    from sightline.data.split import Progress, Split


def check_ahead(problem: Problem) -> None:
    """Refuse a problem that training, export or the verdict would refuse later.

    Raises:
        ProblemError: a criterion or `train.monitor` names what is not measured.
        MissingExtra: the runtime of the package is not installed.
    """
    from sightline.evaluate import MEASURES

    check_criteria(problem)
    known = ["val.loss", *(name for name in MEASURES if name.split(".")[0] in problem.tasks)]
    monitor = problem.train.monitor
    if monitor is not None and monitor not in known:
        near = get_close_matches(monitor, known, n=1, cutoff=0.3)
        raise ProblemError(
            f"{monitor!r} is not measured for this problem",
            where="train.monitor",
            remedy=f"did you mean {near[0]!r}?" if near else f"measured: {', '.join(known)}",
        )
    if problem.export.runtime == "openvino" and find_spec("openvino") is None:
        raise MissingExtra("openvino", "openvino")


def check_audit(
    dataset: Dataset, out: Path, accept: Collection[str], progress: Progress | None = None
) -> None:
    """Audit a dataset into a folder, and refuse it where faults stand that `accept` does not name.

    Raises:
        AuditFailed: they do.
    """
    from sightline.data.audit import audit

    found = audit(dataset, progress=progress)
    with folder_written_whole(out, replace=True) as part:
        found.write(part, dataset)
    standing = [finding for finding in found.errors if finding.kind not in accept]
    if standing:
        kinds = sorted({finding.kind for finding in standing})
        raise AuditFailed(
            f"{len(standing)} findings of level error stand ({', '.join(kinds)})",
            where=out / "audit.html",
            remedy="mend the labels, or name the kinds in data.accept",
        )


def check_split(
    dataset: Dataset, split: Split, accept: Collection[str], progress: Progress | None = None
) -> None:
    """Hold a split to what every figure after it rests on.

    Raises:
        DatasetError: a part is empty.
        AuditFailed: training shows what is held out, in a way that `accept` does not name.
    """
    from sightline.data.split import PARTS, leakage

    for part in PARTS:
        if not split.part(part):
            raise DatasetError(
                f"part {part!r} of the split is empty",
                where=dataset.root,
                remedy=f"give split.{part} a larger share, or use by: group",
            )
    found = leakage(dataset, split, progress=progress)
    counts = {
        "group-across-split": found.group,
        "exact-copies-across-split": found.exact,
        "near-copies-across-split": found.near,
    }
    standing = [kind for kind, count in counts.items() if count and kind not in accept]
    if standing:
        raise AuditFailed(
            f"the split leaks: {found}",
            where=dataset.root,
            remedy=f"split by: group, or name it in data.accept: [{', '.join(standing)}]",
        )
