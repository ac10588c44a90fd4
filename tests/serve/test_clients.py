"""Real clients against the real server: NVIDIA's `tritonclient`, and a browser on the page."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from serve.asking import encoded
from serve.graphs import make_package
from serve.test_running import running

pytestmark = pytest.mark.slow

TRITON = """
import sys
import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

client = triton.InferenceServerClient(sys.argv[1])
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("detect")
assert client.get_server_metadata()["name"] == "sightline"
assert client.get_model_metadata("detect")["inputs"][0]["shape"] == [-1, 48, 64, 3]
assert client.get_model_config("detect")["max_batch_size"] == 64
assert client.get_model_repository_index()[0]["state"] == "READY"
client.load_model("detect")
pixels = np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), np.uint8)
found = []
for binary in (True, False):
    for packed in (None, "gzip", "deflate"):
        tensor = triton.InferInput("image", pixels.shape, "UINT8")
        tensor.set_data_from_numpy(pixels, binary_data=binary)
        names = ("detect.boxes", "detect.scores")
        wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in names]
        options = {"request_id": "q", "request_compression_algorithm": packed}
        answer = client.infer("detect", [tensor], outputs=wanted, **options)
        assert answer.get_response()["id"] == "q"
        found.append(answer.as_numpy("detect.boxes"))
everything = client.infer("detect", [tensor], model_version="1")
assert everything.as_numpy("detect.classes").dtype == np.int64
assert all(np.allclose(found[0], other, atol=1e-5) for other in found)
try:
    client.infer("nothing", [tensor])
    raise AssertionError("an unknown model was answered")
except InferenceServerException as error:
    assert "no model is called" in str(error), error
print("BOXES", found[0].shape)
"""


def test_tritons_client_works_unchanged(tmp_path: Path) -> None:
    python = os.environ.get("SIGHTLINE_TRITON_PYTHON")
    if not python:
        pytest.skip("SIGHTLINE_TRITON_PYTHON names no interpreter with tritonclient[http]")
    package = make_package(tmp_path / "package", "detect")
    with running(tmp_path / "log", str(package)) as service:
        command = [python, "-c", TRITON, f"127.0.0.1:{service.port}"]
        done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == "BOXES (3, 10, 4)"


# Drops a picture on the page as a person would, and writes what the page then shows into its title.
DROP = """
(async () => {
  const wait = async (until) => {
    for (let i = 0; i < 400 && !until(); i++) await new Promise((done) => setTimeout(done, 25));
  };
  await wait(() => document.getElementById("model").options.length);
  const bytes = Uint8Array.from(atob("PICTURE"), (c) => c.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([bytes], "a.png", { type: "image/png" }));
  const drop = new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true });
  document.getElementById("drop").dispatchEvent(drop);
  await wait(() => document.getElementById("state").textContent === "answered");
  await wait(() => document.getElementById("overlay").naturalWidth);
  document.title = JSON.stringify({
    state: document.getElementById("state").textContent,
    drawn: document.getElementById("overlay").naturalWidth,
    latency: Number(document.getElementById("latency").textContent),
    classes: [...document.querySelectorAll("#classes tr")].map((row) => row.cells[0].textContent),
    stages: document.querySelectorAll("#stages i").length,
    answer: document.getElementById("answer").textContent.length,
  });
})();
"""
CHROMIUM = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--window-size=1180,760",
)  # fmt: skip


def test_the_page_answers_a_dropped_picture_in_a_browser(tmp_path: Path) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("there is no chromium here")
    package = make_package(tmp_path / "package", "detect")
    script = DROP.replace("PICTURE", base64.b64encode(encoded(".png", 320, 240)).decode())
    with running(tmp_path / "log", str(package)) as service:
        told = look(browser, service.port, script, tmp_path)
        requests = [line for line in service.lines() if line["event"] == "request"]
    assert told["state"] == "answered" and told["drawn"] == 320, told
    assert told["latency"] > 0 and told["stages"] >= 4 and told["answer"] > 50
    assert set(told["classes"]) <= {"apple", "pear", "plum"} and told["classes"]
    paths = {str(line["path"]) for line in requests}
    assert {"/", "/page.js", "/page.css", "/models", "/predict/detect"} <= paths
    assert all(line["status"] == 200 for line in requests if line["path"] != "/v2/health/ready")


def look(browser: str, port: int, script: str, folder: Path) -> dict[str, object]:
    """Open the page under the browser's remote control, run a script in it, and read its title."""
    from serve.devtools import Page

    with Page(browser, [*CHROMIUM], folder) as page:
        page.open(f"http://127.0.0.1:{port}/")
        page.run(script)
        found: dict[str, object] = json.loads(page.title_when_json())
        page.screenshot(folder / "page.png")
        return found
