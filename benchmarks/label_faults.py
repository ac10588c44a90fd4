"""Plants label faults in clean sets and checks that import and audit find every one, and blame nothing else.

Sets in five formats are made from the real ones: first clean, where no error may be found, then with
faults. A fault is found where a finding of an expected kind names it by message, record or place. Bar: at
least forty faults of at least fifteen kinds, all found; no error-level finding on a clean set, and on a
faulty set none that does not belong to a fault.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from label_fault_sets import SETS, Fault, Maker, Planted
from sightline.data.audit import Audit, Finding, audit
from sightline.data.importing import import_dataset

LEAST_FAULTS, LEAST_KINDS = 40, 15


def audited(planted: Planted, out: Path) -> Audit:
    """Import with no limit to what may be dropped, then audit, against the author's parts if any."""
    dataset, _ = import_dataset(planted.source, out, planted.format, drop_limit=1.0)
    has_author = (dataset.root / "splits" / "author.parquet").is_file()
    return audit(dataset, dataset.split("author") if has_author else None)


def names(finding: Finding, fault: Fault) -> bool:
    """Whether a finding is about a fault."""
    text = "\n".join([finding.message, *finding.records, *finding.places])
    return finding.kind in fault.kinds and fault.word in text


def run_set(name: str, make: Maker, real: Path, work: Path) -> tuple[int, set[str], list[str]]:
    """Faults found, the kinds they were found as, and what went wrong."""
    wrong: list[str] = []
    clean = audited(make(work / name / "clean", real, False), work / name / "clean_dataset")
    wrong += [f"{name}, clean: {f.level} {f.kind}: {f.message}" for f in clean.errors]
    planted = make(work / name / "faulty", real, True)
    result = audited(planted, work / name / "faulty_dataset")
    kinds: set[str] = set()
    count = 0
    for fault in planted.faults:
        hits = [f for f in result.findings if names(f, fault)]
        # What the import dealt with is told by its reason: "1 annotation dropped: box has zero area".
        kinds |= {f.message.split(": ")[1] if f.kind.startswith("import") else f.kind for f in hits[:1]}
        count += bool(hits)
        how = f"{hits[0].level:<8}{hits[0].kind}" if hits else "NOT FOUND"
        print(f"  {name:<8} {fault.what:<46} {how}")
        if not hits:
            wrong.append(f"{name}: not found: {fault.what} ({fault.word})")
    for finding in result.errors:
        if not any(names(finding, fault) for fault in planted.faults):
            wrong.append(f"{name}: blamed without a fault: {finding.kind}: {finding.message}")
    return count, kinds, wrong


def main() -> int:
    """Run all sets; 0 where the bar is met."""
    here = Path(__file__).resolve().parent.parent
    real = Path(os.environ.get("SIGHTLINE_SHARED_DATA", here.parent / "shared" / "data"))
    if not real.is_dir():
        print(f"label_faults: not measured, there is no real data at {real}; set SIGHTLINE_SHARED_DATA")
        return 1
    found, kinds, wrong = 0, set[str](), list[str]()
    total = 0
    with tempfile.TemporaryDirectory() as work:
        for name, make in SETS.items():
            count, seen, faults = run_set(name, make, real, Path(work))
            found, kinds, wrong = found + count, kinds | seen, wrong + faults
            total += count + sum("not found" in line for line in faults)
    for line in wrong:
        print(line)
    met = not wrong and total >= LEAST_FAULTS and len(kinds) >= LEAST_KINDS
    bar = f"bar: all of at least {LEAST_FAULTS}, of at least {LEAST_KINDS} kinds, no complaints"
    print(
        f"label_faults: {found} of {total} planted faults found, of {len(kinds)} kinds, "
        f"{len(wrong)} complaints ({bar}): {'met' if met else 'MISSED'}"
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
