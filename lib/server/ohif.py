"""OHIF, as the MONAI Label wheel brings it, under /ohif: its files and no others, on our proxy, with nothing from elsewhere."""

from __future__ import annotations

import mimetypes
import re
from functools import cache
from importlib import resources
from pathlib import Path

from fastapi import APIRouter
from monailabel.endpoints.user.auth import User
from starlette.responses import FileResponse, RedirectResponse, Response

from lesionlabel.lesions.errors import NotFoundError
from lesionlabel.server.proxy import pacs_url
from lesionlabel.server.roles import USER

router = APIRouter(include_in_schema=False)

#: Media types that the system's list may lack or have wrong: a browser refuses modules and WebAssembly of another.
MEDIA = {".js": "text/javascript", ".wasm": "application/wasm", ".json": "application/json"}
#: Its names change with its content, so it need not be asked for again.
HASHED = re.compile(r"[0-9a-f]{16,}\.(js|wasm)$")
#: Where the page and its style sheet ask other servers for fonts; without them the browser's own are used.
ELSEWHERE = re.compile(r"""<link[^>]*https://[^>]*>|@import (url\()?["']?https://[^;]*;""")
CLEANED = {"index.html": "text/html", "app.bundle.css": "text/css"}
#: Not of use here: a worker from a CDN that would keep pages, settings of other hosts, and sign-in with Google.
LEFT_OUT = frozenset({"sw.js", "_headers", "_redirects", "serve.json", "google.js", "app-config.js", *CLEANED})
#: The page may load from this server only; OHIF compiles WebAssembly and templates, and starts workers from blobs.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; worker-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
#: OHIF's settings: the PACS through our proxy, read only. The MONAI Label panel would look for a server on port 8000.
CONFIG = """document.cookie = 'MONAILABEL_SERVER_URL=' + escape(window.location.origin + '/') + '; path=/; SameSite=Strict';
window.config = {
  routerBasename: '/ohif/',
  showStudyList: true,
  extensions: [],
  modes: [],
  showWarningMessageForCrossOrigin: false,
  showCPUFallbackMessage: true,
  showLoadingIndicator: true,
  strictZSpacingForVolumeViewport: true,
  useSharedArrayBuffer: 'FALSE',
  defaultDataSourceName: 'dicomweb',
  dataSources: [
    {
      namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
      sourceName: 'dicomweb',
      configuration: {
        friendlyName: 'PACS',
        name: 'PACS',
        wadoUriRoot: '/proxy/dicom/wado',
        qidoRoot: '/proxy/dicom/qido',
        wadoRoot: '/proxy/dicom/wado',
        qidoSupportsIncludeField: true,
        supportsReject: false,
        supportsStow: false,
        dicomUploadEnabled: false,
        imageRendering: 'wadors',
        thumbnailRendering: 'wadors',
        enableStudyLazyLoad: false,
        supportsFuzzyMatching: true,
        supportsWildcard: true,
        bulkDataURI: { enabled: true },
      },
    },
  ],
};
"""


@router.get("/ohif")
def without_slash(user: User = USER) -> Response:
    return RedirectResponse("/ohif/")


@router.get("/ohif/{path:path}")
def page(path: str, user: User = USER) -> Response:
    """A file of OHIF; for paths that OHIF itself understands its page. Raises NotFoundError where there is no PACS."""
    pacs_url()
    file = _files().get(path)
    if file is not None:
        keep = "public, max-age=31536000, immutable" if HASHED.search(path) else "no-cache"
        return FileResponse(file, media_type=_media(file), headers={**HEADERS, "Cache-Control": keep})
    fresh = {**HEADERS, "Cache-Control": "no-cache"}
    if path == "app-config.js":
        return Response(CONFIG, media_type=MEDIA[".js"], headers=fresh)
    if path in CLEANED:
        return Response(_cleaned(path), media_type=CLEANED[path], headers=fresh)
    if "." in path.rpartition("/")[2]:
        raise NotFoundError("OHIF has no such file.")
    return Response(_cleaned("index.html"), media_type="text/html", headers=fresh)


@cache
def _files() -> dict[str, Path]:
    """The files that are served, by their path below /ohif/: what is asked for is looked up here, never on the disk."""
    root = _root()
    found = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    return {name: path for name, path in found.items() if name not in LEFT_OUT}


@cache
def _cleaned(name: str) -> str:
    return ELSEWHERE.sub("", (_root() / name).read_text(encoding="utf-8"))


def _root() -> Path:
    root = Path(str(resources.files("monailabel") / "endpoints" / "static" / "ohif"))
    if not (root / "index.html").is_file():
        raise NotFoundError("The installed MONAI Label has no OHIF in it. Install its wheel.")
    return root


def _media(file: Path) -> str:
    return MEDIA.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
