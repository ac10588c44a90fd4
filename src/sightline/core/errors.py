"""Every error sightline raises on purpose.

    SightlineError
    ├── InputError              what came in is wrong; the command line exits 2
    │   ├── ProblemError        problem.yaml: unknown key, wrong type, contradiction
    │   ├── MediaError          a picture or video that cannot be read, or is over a limit
    │   ├── FormatError         a label file that breaks its format's grammar
    │   ├── DatasetError        a dataset, split or record that is absent or inconsistent
    │   ├── ModelError          a model name, option or input the architecture cannot take
    │   ├── WeightsError        a checkpoint that is cut short or does not fit
    │   ├── PackageError        a package whose manifest, hash or files do not hold
    │   ├── StorageError        a place that cannot be written to: full, read-only, not allowed
    │   ├── UsageError          arguments that contradict each other
    │   └── MissingExtra        an optional dependency that is not installed
    └── ContractError           the input is fine, a promise is not kept; exits 1
        ├── TooMuchDropped      an import that left out more than its limit
        ├── AuditFailed         error-level findings stand
        ├── TrainingFailed      NaN, divergence, out of memory at micro-batch 1
        ├── ParityFailed        the exported file does not answer as the model does
        └── PromotionRefused    a challenger that misses a criterion, or does something old worse

Anything else that escapes is a bug of ours and keeps its traceback.
"""

from __future__ import annotations


class SightlineError(Exception):
    """Base of the tree: says where, what (with the limit) and the remedy, in that order.

    Args:
        what: the fault, with the value found and the limit it broke.
        where: file and line, JSON pointer, record or tensor the fault is in.
        remedy: what the reader can do about it.
    """

    exit_code = 2

    def __init__(self, what: str, *, where: object = None, remedy: str | None = None) -> None:
        self.what, self.where, self.remedy = what, where, remedy
        text = what if where is None else f"{where}: {what}"
        super().__init__(text if remedy is None else f"{text}; {remedy}")


class InputError(SightlineError):
    """What came in is wrong."""


class ProblemError(InputError):
    """A problem file that cannot be taken as it is."""


class MediaError(InputError):
    """A picture or a video that cannot be read, or that is over a limit."""


class FormatError(InputError):
    """A label file that breaks its format's grammar."""


class DatasetError(InputError):
    """A dataset, a split or a record that is absent or inconsistent."""


class ModelError(InputError):
    """A model name, option or input that the architecture cannot take."""


class WeightsError(InputError):
    """A checkpoint that is cut short, unsafe or does not fit."""


class PackageError(InputError):
    """A package whose manifest, hash or files do not hold."""


class StorageError(InputError, OSError):
    """A place that cannot be written to: the disk is full, read-only, or access is denied."""


class UsageError(InputError):
    """Arguments that contradict each other or name nothing."""


class MissingExtra(InputError):
    """An optional dependency that is not installed."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(
            f"{module} is not installed", remedy=f"install it with: pip install 'sightline[{extra}]'"
        )


class ContractError(SightlineError):
    """The input is fine, but a promise is not kept."""

    exit_code = 1


class TooMuchDropped(ContractError):
    """An import that left out a larger share than its limit; `ledger` tells what and why.

    Attributes:
        ledger: the import's `data.ledger.Ledger`.
    """

    def __init__(self, what: str, ledger: object, *, where: object, remedy: str) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.ledger = ledger


class AuditFailed(ContractError):
    """Findings of level error stand in a dataset."""


class TrainingFailed(ContractError):
    """A loss that is not a number, divergence, or no memory at micro-batch one."""


class ParityFailed(ContractError):
    """An exported file that does not answer as the trained model does."""


class PromotionRefused(ContractError):
    """A challenger that misses a criterion, does something old significantly worse, or was not compared."""
