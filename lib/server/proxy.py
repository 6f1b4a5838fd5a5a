"""The PACS for OHIF, read-only: GET of DICOMweb resources below the configured address, streamed, with the server's credentials.

The stock proxy drops the query, stores for anybody, lets `..%2f` out of its address, and holds up the whole server.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from functools import cache

import httpx
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import StreamingResponse
from monailabel.endpoints.user.auth import User
from starlette.background import BackgroundTask
from starlette.responses import Response

from lesionlabel.datastore.pacs import PacsDatastore
from lesionlabel.datastore.pacs_address import credentials
from lesionlabel.imaging.dicomweb import KEEP_S, trust
from lesionlabel.imaging.dicomweb_answers import refusal, told
from lesionlabel.lesions.errors import NotFoundError
from lesionlabel.server.roles import USER
from lesionlabel.server.running import running_app

router = APIRouter(include_in_schema=False)

NO_PACS = "There is no PACS: this server's studies are a folder. Start it with --studies http://…/dicom-web."
READ_ONLY = "The PACS is only read through this server. Results go there when they are submitted; send other things to it."
#: What a DICOMweb resource looks like (PS3.18 9 to 11): never a way up, nothing encoded, nothing of the PACS beside DICOMweb.
RESOURCE = re.compile(r"(studies|series|instances)(/[A-Za-z0-9_,-][A-Za-z0-9._,-]*)*/?")
ASKED = ("accept", "if-none-match", "if-modified-since", "range")
ANSWERED = ("content-type", "content-encoding", "content-length", "content-range", "etag", "last-modified", "warning")
#: A page that somebody stored on the PACS runs no script with this server's rights; what OHIF fetches is not touched by it.
SAFE = {"content-security-policy": "sandbox; default-src 'none'", "x-content-type-options": "nosniff"}
#: Requests to the PACS at once; OHIF asks for hundreds of frames.
AT_ONCE = 16


@router.get("/proxy/dicom/{path:path}")  # the decorator nearest to the function comes first
@router.get("/proxy/dicom/qido/{path:path}")
@router.get("/proxy/dicom/wado/{path:path}")
async def read(request: Request, path: str, user: User = USER) -> Response:
    """The PACS's answer, as it comes."""
    url = pacs_url()
    if RESOURCE.fullmatch(path) is None:
        raise NotFoundError("That is no DICOMweb resource: it begins with studies, series or instances.")
    client = _client()
    target = httpx.URL(f"{url}/{path}", query=request.scope["query_string"])
    headers = {name: request.headers[name] for name in ASKED if name in request.headers}
    with told():
        answer = await client.send(client.build_request("GET", target, headers=headers), stream=True)
    if answer.status_code not in (200, 204, 206, 304, 400, 404, 406, 410, 413):
        await answer.aclose()
        raise refusal(answer.status_code, "show images")
    kept = {name: answer.headers[name] for name in ANSWERED if name in answer.headers} | SAFE
    # Patients' images stay in no cache but the browser's own.
    kept["cache-control"] = "private, no-cache"
    return StreamingResponse(_body(answer), answer.status_code, kept, background=BackgroundTask(answer.aclose))


@router.api_route("/proxy/{path:path}", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def refuse(request: Request, path: str, user: User = USER) -> None:
    pacs_url()
    if request.method == "GET":
        raise NotFoundError("The PACS is under /proxy/dicom.")
    raise HTTPException(405, READ_ONLY, {"Allow": "GET"})


def pacs_url() -> str:
    """The address of the PACS that is served. Raises NotFoundError where studies are a folder."""
    datastore = running_app().datastore()
    if not isinstance(datastore, PacsDatastore):
        raise NotFoundError(NO_PACS)
    return datastore.client.url


async def _body(answer: httpx.Response) -> AsyncIterator[bytes]:
    with told():
        async for piece in answer.aiter_raw():
            yield piece


@cache
def _client() -> httpx.AsyncClient:
    """The connections of this process; nobody's cookies or credentials but the server's own are sent over them."""
    settings = running_app().settings
    user, password = credentials(settings)
    return httpx.AsyncClient(
        auth=None if user is None else httpx.BasicAuth(user, password),
        verify=trust(settings.dicomweb_ca_file),
        timeout=httpx.Timeout(settings.dicomweb_timeout_s, pool=None),
        limits=httpx.Limits(max_connections=AT_ONCE, keepalive_expiry=KEEP_S),
        headers={"Accept-Encoding": "identity"},
        trust_env=False,
        follow_redirects=False,
    )
