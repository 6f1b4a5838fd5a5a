"""OHIF of the MONAI Label wheel in Chromium, on our server and a real Orthanc: a click in it gives the outline.

Chromium is driven by its DevTools protocol (https://chromedevtools.github.io/devtools-protocol/).
"""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

pytestmark = pytest.mark.acceptance

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--disable-dev-shm-usage", "--window-size=1500,900", "--remote-debugging-port=0",
)  # fmt: skip
#: Drawing without a graphics card takes a busy machine long.
PATIENCE_S = 240
#: The click: column, row and slice of the tiny CT's cyst, and the same place in LPS mm.
VOXEL = [35, 45, 12]
PLACE = [-26.0, -6.0, 66.0]
VIEWPORT = "cornerstone.getRenderingEngines()[0].getViewport('mpr-axial')"
POINT_PROMPTS = (
    "[...document.querySelectorAll('.tab')].find(t => t.querySelector('.tab-label').textContent.includes('Point Prompts'))"
)


class Browser:
    """One page of a headless Chromium, and what it asked servers for."""

    def __init__(self, chromium: str, folder: Path) -> None:
        from websockets.sync.client import connect

        command = [chromium, *FLAGS, f"--user-data-dir={folder}", "about:blank"]
        with (folder / "chromium.txt").open("wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output)
        port_file = folder / "DevToolsActivePort"
        self.until(lambda: port_file.exists() and "\n" in port_file.read_text())
        port = port_file.read_text().split()[0]
        pages: list[dict[str, Any]] = []

        def opened() -> bool:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=30) as answer:
                pages[:] = [page for page in json.load(answer) if page["type"] == "page"]
            return bool(pages)

        self.until(opened)
        self.socket = connect(pages[0]["webSocketDebuggerUrl"], max_size=None, open_timeout=PATIENCE_S)
        self.number = 0
        self.events: list[dict[str, Any]] = []
        for domain in ("Page", "Network", "Runtime"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        self.socket.close()
        self.process.kill()
        self.process.wait(30)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": params}))
        while True:
            message = json.loads(self.socket.recv(timeout=PATIENCE_S))
            if message.get("id") == self.number:
                assert "error" not in message, message["error"]
                return message["result"]
            self.events.append(message)

    def js(self, code: str) -> Any:
        """The value of an expression in the page, None where it throws."""
        found = self.call("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        return None if "exceptionDetails" in found else found["result"].get("value")

    def wait(self, code: str) -> Any:
        return self.until(lambda: self.js(code), code)

    def press(self, element: str) -> None:
        """Click in the middle of an element, once it is there, as a mouse does."""
        box = f"(() => {{ const r = ({element}).getBoundingClientRect(); return r.width ? [r.x, r.y, r.width, r.height] : 0 }})()"
        left, top, width, height = self.wait(box)
        self.click(left + width / 2, top + height / 2)

    def click(self, x: float, y: float) -> None:
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            button = "none" if kind == "mouseMoved" else "left"
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, clickCount=1)

    def picture(self) -> np.ndarray:
        """The page as it is drawn: rows, columns, RGB."""
        content = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), dtype=int)

    def asked(self) -> list[dict[str, Any]]:
        return [event["params"]["request"] for event in self.events if event["method"] == "Network.requestWillBeSent"]

    def until(self, ready: Any, what: str = "Chromium") -> Any:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            found = ready()
            if found:
                return found
            time.sleep(0.1)
        raise AssertionError(f"It never came: {what}")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        reason = "chromium is not installed (Debian package chromium)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    started = Browser(chromium, tmp_path_factory.mktemp("chromium"))
    yield started
    started.close()


def test_a_click_in_ohif_draws_the_outline_of_the_lesion(pacs_server, secured_orthanc, tiny_series, browser, tmp_path):
    study, series = tiny_series(tmp_path / "dicom", patient="", synthetic=True)
    secured_orthanc.add(tmp_path / "dicom")
    browser.call("Page.navigate", url=f"{pacs_server.url}/ohif/monai-label?StudyInstanceUIDs={study}")
    browser.wait(f"!!document.querySelector('#monailabelServerURL') && !!{VIEWPORT}.getImageData()")
    browser.press("[...document.querySelectorAll('button')].find(b => b.textContent.includes('Confirm and Hide'))")
    # Connect to the server that the page came from, choose point prompts, and a class for the segment.
    browser.press("document.querySelector('.monaiLabelPanel .actionButton')")
    browser.press(f"{POINT_PROMPTS}.querySelector('.tab-label')")
    browser.press(f"[...{POINT_PROMPTS}.querySelectorAll('tr.clickable-row')].find(r => r.textContent.trim() === 'cyst')")
    browser.wait("cornerstoneTools.segmentation.state.getSegmentations().length")
    browser.wait(f"(() => {{ {VIEWPORT}.jumpToWorld({PLACE}); {VIEWPORT}.render(); return true }})()")
    corner = browser.wait(f"(() => {{ const r = {VIEWPORT}.canvas.getBoundingClientRect(); return [r.x, r.y] }})()")
    x, y = np.add(corner, browser.wait(f"[...{VIEWPORT}.worldToCanvas({PLACE})]")).tolist()
    # The crosshairs are annotations, too. A click right after the jump may come before OHIF listens: then it is done again.
    points = "cornerstoneTools.annotation.state.getAllAnnotations().filter(a => a.metadata.toolName === 'ProbeMONAILabel').length"

    def clicked() -> bool:
        browser.click(x, y)
        end = time.monotonic() + 3
        while time.monotonic() < end and not browser.js(points):
            time.sleep(0.1)
        return bool(browser.js(points))

    browser.until(clicked, points)
    before = browser.picture()
    browser.press(f"{POINT_PROMPTS}.querySelector('button')")
    segment = "cornerstoneTools.segmentation.state.getSegmentations()[0].representationData.Labelmap"
    voxels = f"""(() => {{
      const one = {segment}, volume = cornerstone.cache.getVolume(one.volumeId);
      const values = volume.voxelManager.getCompleteScalarDataArray(), found = [];
      for (let i = 0; i < values.length; i++) if (values[i]) found.push(i);
      return found.length ? found : null }})()"""
    drawn = browser.wait(voxels)

    (asked,) = [request for request in browser.asked() if "/infer/" in request["url"]]
    assert asked["url"] == f"{pacs_server.url}/infer/lesion?image={series}&output=image"
    assert f'"foreground":[{json.dumps(VOXEL, separators=(",", ":"))}]' in asked["postData"]
    # What OHIF holds is the server's answer, voxel by voxel, and lies where the lesion is.
    params = {"foreground": [VOXEL], "result_extension": ".nrrd"}
    answer = httpx.post(asked["url"], data={"params": json.dumps(params)}, timeout=120)
    (tmp_path / "answer.nrrd").write_bytes(answer.content)
    mask = sitk.GetArrayFromImage(sitk.ReadImage(tmp_path / "answer.nrrd"))
    assert drawn == np.flatnonzero(mask).tolist()
    assert mask[VOXEL[2], VOXEL[1], VOXEL[0]] == 1
    assert mask.sum() > 50
    # It is drawn: around the click the picture, grey before, now has a colour in many places.
    time.sleep(0.5)
    after = browser.picture()
    near = (slice(int(y) - 40, int(y) + 40), slice(int(x) - 40, int(x) + 40))
    colourful = [np.ptp(picture[near], axis=2) > 40 for picture in (before, after)]
    assert np.count_nonzero(colourful[1] & ~colourful[0]) > 50
    # Nothing was asked of any other machine.
    elsewhere = {request["url"][:60] for request in browser.asked()}
    assert not [url for url in elsewhere if not url.startswith((pacs_server.url, "data:", "blob:"))]


def test_synthetic_series_are_read_but_never_labelled_from_ohif(pacs_server, secured_orthanc, tiny_series, tmp_path):
    _, series = tiny_series(tmp_path / "dicom", synthetic=True)
    secured_orthanc.add(tmp_path / "dicom")
    label = np.zeros((24, 96, 96), dtype=np.uint8)
    label[12, 40:50, 30:40] = 1
    url, files = f"{pacs_server.url}/datastore/label?image={series}", {"label": ("label.bin", label.tobytes())}
    refused = httpx.put(url, files=files, timeout=120)
    assert refused.status_code == 422
    assert "synthetic" in refused.json()["detail"].lower()
