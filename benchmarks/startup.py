"""What a user waits for: `import sightline`, and a new process to its first result.

Each figure is a median of five, taken in turn with a bare interpreter. Bytecode is compiled first, then
switched off altogether for the second figure (`python -B` with an empty cache folder).
"""

from __future__ import annotations

import compileall
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROUNDS = 5
IMPORT_BAR_S, COMPILED_BAR_S, UNCOMPILED_BAR_S = 0.3, 1.0, 1.5
SOURCE = Path(__file__).resolve().parent.parent / "src"
PREDICT = "import sys; from sightline.cli.main import main; main(['predict', *sys.argv[1:]])"


def make_package(folder: Path) -> tuple[Path, Path]:
    """A MobileNetV3 classifier with random weights and a picture to read, made in a process of its own."""
    code = f"""
import cv2, numpy as np, torch
from pathlib import Path
from sightline.core.specs import InputSpec
from sightline.export.writing import package_model
from sightline.models.catalogue import build
torch.manual_seed(0)
inputs = {{"image": InputSpec((224, 224))}}
model = build("mobilenetv3", tasks=("classify",), classes=("cat", "dog"), inputs=inputs)
package_model(model.eval(), Path({str(folder / "package")!r}))
picture = np.random.default_rng(0).integers(0, 256, (480, 640, 3)).astype(np.uint8)
cv2.imwrite({str(folder / "picture.jpg")!r}, picture)
"""
    subprocess.run([sys.executable, "-c", code], check=True, env=environment())
    return folder / "package", folder / "picture.jpg"


def environment(**extra: str) -> dict[str, str]:
    """This process's environment, with sightline's sources and without the switch that forbids bytecode."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    path = os.pathsep.join([str(SOURCE), kept.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return {**kept, "PYTHONPATH": path, **extra}


def seconds(words: list[str], env: dict[str, str]) -> float:
    """Wall seconds of one process."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *words], env=env, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return time.perf_counter() - start


def heavy_modules(env: dict[str, str]) -> str:
    """Which of the heavy libraries `import sightline` brings in."""
    code = "import sys, sightline; print(*[m for m in ('torch', 'torchvision', 'timm') if m in sys.modules])"
    words = [sys.executable, "-c", code]
    return subprocess.run(words, env=env, capture_output=True, text=True, check=True).stdout.strip()


def main() -> int:
    compileall.compile_dir(SOURCE, quiet=1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        package, picture = make_package(folder)
        predict = ["-c", PREDICT, str(package), str(picture)]
        rows: dict[str, list[float]] = {"bare": [], "import": [], "compiled": [], "uncompiled": []}
        for index in range(ROUNDS + 1):
            empty = folder / f"cache{index}"
            uncompiled = environment(PYTHONPYCACHEPREFIX=str(empty), PYTHONDONTWRITEBYTECODE="1")
            row = {
                "bare": seconds(["-c", "pass"], environment()),
                "import": seconds(["-c", "import sightline"], environment()),
                "compiled": seconds(predict, environment()),
                "uncompiled": seconds(predict, uncompiled),
            }
            if index:  # the first brings files into memory
                for key, value in row.items():
                    rows[key].append(value)
    median = {key: float(np.median(values)) for key, values in rows.items()}
    over = float(np.median(np.subtract(rows["import"], rows["bare"])))
    heavy = heavy_modules(environment())
    for key, value in median.items():
        print(f"{key}: {value:.3f} s")
    print(f"heavy modules after import sightline: {heavy or 'none'}")
    good = over <= IMPORT_BAR_S and not heavy
    good &= median["compiled"] <= COMPILED_BAR_S and median["uncompiled"] <= UNCOMPILED_BAR_S
    print(
        f"startup: import {over:.3f} s over a bare interpreter (bar {IMPORT_BAR_S}); first result "
        f"{median['compiled']:.2f} s compiled (bar {COMPILED_BAR_S}), {median['uncompiled']:.2f} s not "
        f"(bar {UNCOMPILED_BAR_S})"
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
