"""Stock endpoints that stay closed, each with the reason and what to use instead."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException

router = APIRouter(include_in_schema=False)

#: (methods, path, status, reason)
CLOSED: tuple[tuple[tuple[str, ...], str, int, str], ...] = (
    (("POST", "GET"), "/reload", 404, "Reloading is not offered: it would drop running work. Restart the server."),
    (("POST",), "/infer/wsi/{model}", 404, "Whole-slide inference is not offered."),
    (("POST",), "/infer/wsi_v2/{model}", 404, "Whole-slide inference is not offered."),
    (("POST",), "/batch/infer/{model}", 404, "Batch inference is not offered: an answer needs a lesion. Use /infer/{model}."),
    (("PUT", "DELETE"), "/model/{model}", 403, "Models are changed by 'lesionlabel models promote' only."),
    (("POST", "DELETE"), "/scoring/{path:path}", 404, "There is no scoring method."),
    # Stock OHIF asks other servers for fonts and is bound by no policy. In front of it may be slashes and dots.
    (("GET", "HEAD"), "/static/{before:path}ohif/{path:path}", 404, "OHIF is at /ohif/."),
)


def _closed(status: int, reason: str):
    def endpoint() -> None:
        raise HTTPException(status, reason)

    return endpoint


for _methods, _path, _status, _reason in CLOSED:
    router.add_api_route(_path, _closed(_status, _reason), methods=list(_methods))
