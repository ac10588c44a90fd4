"""Finding faults in a dataset."""

from sightline.data.audit.findings import Audit, ClassRow, Finding
from sightline.data.audit.run import audit

__all__ = ["Audit", "ClassRow", "Finding", "audit"]
