import asyncio
import errno
import json

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from lesionlabel.lesions.errors import IntegrityError, NoModelError, NotCTError, NotFoundError, OutsideVolumeError
from lesionlabel.server.errors import JSONErrors


def answer_to(error):
    """The response of an app whose endpoint raises error."""

    async def endpoint(request):
        raise error

    async def ask():
        app = Starlette(routes=[Route("/", endpoint)])
        app.add_middleware(JSONErrors)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test") as client:
            return await client.get("/")

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OutsideVolumeError("in air"), 422),
        (NotCTError("no CT"), 422),
        (NotFoundError("no image"), 404),
        (NoModelError("no model"), 503),
        (IntegrityError("changed"), 503),
    ],
)
def test_what_a_user_can_mend_is_said_with_the_right_status(error, status):
    response = answer_to(error)
    assert (response.status_code, response.json()) == (status, {"detail": str(error), "error": type(error).__name__})


def test_a_full_disk_is_said():
    response = answer_to(OSError(errno.ENOSPC, "No space left on device", "/home/x"))
    assert response.status_code == 503
    assert "disk is full" in response.json()["detail"]


def test_params_that_are_no_json_are_the_clients_mistake():
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads("{")
    assert answer_to(caught.value).status_code == 422


def test_the_unforeseen_gets_a_number_and_leaks_nothing(caplog):
    response = answer_to(RuntimeError("Muster^Erika in /home/secret"))
    assert response.status_code == 500
    assert response.json()["incident"] in caplog.text
    for text in (response.text, caplog.text):
        assert "Muster" not in text
        assert "Traceback" not in text
    assert "test_errors.py" in caplog.text


def test_the_servers_folders_are_not_said(monkeypatch, tmp_path):
    monkeypatch.setenv("LESIONLABEL_HOME", str(tmp_path / "home"))
    response = answer_to(IntegrityError(f"{tmp_path}/home/versions/v1/manifest.json was changed."))
    assert response.json()["detail"] == "versions/v1/manifest.json was changed."
