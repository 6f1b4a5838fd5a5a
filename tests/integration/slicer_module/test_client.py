"""The module's connection: addresses, certificates, servers that hang or break off, and errors in the server's own words."""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import json
import resource
import shutil
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from LesionLabelLib import nrrd
from LesionLabelLib.case import OTHER, Case
from LesionLabelLib.client import Client
from LesionLabelLib.errors import NotKeptError, ReaderError, ServerError, StepError, UnreachableError
from LesionLabelLib.geometry import Geometry
from LesionLabelLib.outbox import Outbox
from LesionLabelLib.panel import panel_of
from LesionLabelLib.segmentation import region_of
from LesionLabelLib.session import Session
from LesionLabelLib.worker import Worker

INFO = {"labels": ["cyst"], "models": {"lesion_classifier": {}}, "strategies": {"first": {"description": "in order"}}}


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """A function that answers with a status and a body, over TLS where a context is given. Returns its address."""
    running: list[http.server.HTTPServer] = []

    def start(status: int, body: bytes, context: ssl.SSLContext | None = None, **headers: str) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                for name, value in {"content-length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def do_PUT(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.do_GET()

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        running.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return f"{'https' if context else 'http'}://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1 that signs itself, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    authority, private = tmp_path / "authority.pem", tmp_path / "key.pem"
    authority.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, private)
    return authority, context


def test_a_hospitals_own_certificate_is_trusted_only_once_its_authority_is_named(serve, certificate):
    authority, context = certificate
    url = serve(200, json.dumps(INFO).encode(), context)
    with pytest.raises(UnreachableError, match=r"not trusted.*certificate authority"):
        Client(url, "reader").info()
    assert Client(url, "reader", str(authority)).info() == INFO
    with pytest.raises(ReaderError, match="cannot be read"):
        Client(url, "reader", str(authority.with_name("nothing.pem")))


@pytest.mark.parametrize("address", ["", "ftp://server", "http://", "http://server:port", "http://user:secret@server"])
def test_what_is_no_address_is_said_so(address):
    with pytest.raises(ReaderError, match="no server's address"):
        Client(address, "reader")


def test_an_address_may_lack_the_scheme_and_have_a_path(serve):
    url = serve(200, json.dumps(INFO).encode())
    assert Client(f"{url.removeprefix('http://')}/lesionlabel/", "reader").url == f"{url}/lesionlabel"
    assert Client(url, "reader").info() == INFO


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (404, b'{"detail": "No image \'x\' in the studies folder."}', "No image 'x' in the studies folder."),
        (422, b'{"detail": [{"msg": "Field required"}, {"msg": "no"}]}', "Field required; no"),
        (502, b"<html>", "The server answered 502 without a reason."),
        (307, b"", "sends elsewhere"),
        (200, b"<html>a page</html>", "Is this a LesionLabel server?"),
    ],
)
def test_what_the_server_says_is_the_sentence(serve, status, body, said):
    with pytest.raises(ServerError) as told:
        Client(serve(status, body), "reader").info()
    assert said in str(told.value)


def test_a_server_that_is_away_hangs_or_breaks_off_is_a_sentence(serve, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = free.getsockname()[1]
    with pytest.raises(UnreachableError, match="cannot be reached"):
        Client(f"http://127.0.0.1:{nobody}", "reader").info()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(UnreachableError, match="did not answer in time"):
            Client(f"http://127.0.0.1:{silent.getsockname()[1]}", "reader", quick_s=0.1).info()
    cut = serve(200, b"half", **{"content-length": "4000"})
    with pytest.raises(UnreachableError, match=r"broke|in time"):
        Client(cut, "reader", slow_s=0.3).download_image("x", tmp_path)
    assert not (tmp_path / "case.nii.gz").exists()


def test_another_server_or_a_reader_without_a_name_is_refused(serve, tmp_path):
    url = serve(200, json.dumps({"labels": [], "models": {"deepedit": {}}}).encode())
    with pytest.raises(ReaderError, match="no LesionLabel server"):
        Session(Client(url, "reader"), Outbox(tmp_path))
    with pytest.raises(ReaderError, match="Give the name"):
        Session(Client(url, "  "), Outbox(tmp_path))


def test_a_decision_is_readable_by_its_owner_only_and_where_the_disk_refuses_it_is_not_sent(tmp_path):
    client = Client("http://127.0.0.1:1", "reader")
    outbox = Outbox(tmp_path / "outbox")
    with pytest.raises(UnreachableError):
        outbox.send(client, "a", b"voxels", {"proof": "consensus"})
    [waiting] = outbox.waiting()
    assert (waiting.image, waiting.reader, waiting.params["proof"]) == ("a", "reader", "consensus")
    assert (waiting.folder / "label.nrrd").read_bytes() == b"voxels"
    assert outbox.folder.stat().st_mode & 0o077 == 0
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ReaderError, match=r"could not be kept.*was not sent"):
        Outbox(tmp_path / "file").send(client, "a", b"voxels", {})
    # Another reader at the same computer does not send what is not theirs.
    assert outbox.send_again(Client("http://127.0.0.1:1", "another")) == ([], [])


@contextmanager
def full_disk() -> Iterator[None]:
    """No file can grow in this process, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_decision_that_a_full_disk_refuses_is_not_taken_for_the_older_one_that_waits(serve, tmp_path):
    session = Session(Client(serve(200, json.dumps(INFO).encode()), "reader"), Outbox(tmp_path / "outbox"))
    session.client.url, session.client._port = "http://127.0.0.1:1", 1
    grid = Geometry((3, 4, 5), np.eye(4))
    session.case = Case("a", tmp_path / "a.nii.gz", grid, {}, geometry=grid)
    regions = {session.mark("drawn").number: region_of(np.ones((3, 4, 5), dtype=np.uint8))}
    session.set_type(1, "cyst")
    with pytest.raises(UnreachableError, match="kept on this computer"):
        session.decide(regions)
    assert not session.is_unsaved(regions)
    session.set_type(1, OTHER)
    with full_disk(), pytest.raises(NotKeptError, match=r"could not be kept.*was not sent") as told:
        session.decide(regions)
    assert "kept on this computer" not in str(told.value)
    assert session.is_unsaved(regions)
    assert len(list((session.outbox.folder / "waiting").iterdir())) == 1


def waiting_two(outbox: Outbox, url: str, monkeypatch: pytest.MonkeyPatch) -> Client:
    """Images a and b wait for the server at url, for which nothing answered yet."""
    away = Client("http://127.0.0.1:1", "reader")
    monkeypatch.setattr(away, "url", url)
    for image in "ab":
        with pytest.raises(UnreachableError):
            outbox.send(away, image, b"voxels", {})
    return Client(url, "reader")


@pytest.mark.parametrize("content", ["", "[]", '{"server": "x"}'])
def test_a_damaged_record_is_named_and_keeps_nothing_else_from_being_sent(serve, tmp_path, monkeypatch, content):
    outbox = Outbox(tmp_path)
    client = waiting_two(outbox, serve(200, b"{}"), monkeypatch)
    damaged = outbox.waiting()[0].folder
    (damaged / "decision.json").write_text(content)
    text = panel_of(None, False, None, outbox.waiting(), outbox.damaged()).texts["waitingLabel"]
    assert text.startswith("One decision waits")
    assert f"{damaged} cannot be read" in text
    delivered, failed = outbox.send_again(client)
    assert ([one.image for one in delivered], failed, outbox.waiting(), outbox.damaged()) == (["b"], [], [], [damaged])
    assert (damaged / "label.nrrd").read_bytes() == b"voxels"


def test_what_another_slicer_delivered_meanwhile_is_no_error_and_an_outline_that_cannot_be_read_is(serve, tmp_path, monkeypatch):
    outbox = Outbox(tmp_path)
    client = waiting_two(outbox, serve(200, b"{}"), monkeypatch)
    both = outbox.waiting()
    shutil.rmtree(both[0].folder)
    monkeypatch.setattr(outbox, "waiting", lambda: both)
    (both[1].folder / "label.nrrd").unlink()
    delivered, [(one, reason)] = outbox.send_again(client)
    assert (delivered, one.image) == ([], "b")
    assert "cannot be read" in reason


def test_a_decision_that_the_server_has_is_not_sent_twice_where_the_disk_keeps_it(serve, tmp_path, monkeypatch):
    outbox = Outbox(tmp_path)
    client = waiting_two(outbox, serve(200, b"{}"), monkeypatch)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "in use by another program")

    with monkeypatch.context() as locked:
        locked.setattr(Path, "unlink", refuse)
        locked.setattr("os.replace", refuse)
        delivered, failed = outbox.send_again(client)
    assert ([one.image for one in delivered], failed) == (["a", "b"], [])
    assert len(list((tmp_path / "waiting").glob("*/decision.json"))) == 2
    for after in (outbox, Outbox(tmp_path)):  # also after a restart of 3D Slicer
        assert (after.waiting(), after.send_again(client)) == ([], ([], []))


def test_files_of_voxels_keep_every_voxel_and_their_place_and_broken_ones_are_said_so():
    mask = np.random.default_rng(0).integers(0, 4, (3, 4, 5)).astype(np.uint8)
    to_lps = np.array([[0.0, 0.7, 0.1, -3.3], [0.7, 0.0, 0.2, 4.4], [0.0, 0.1, 2.5, 5.5], [0, 0, 0, 1]])
    content = nrrd.write(mask, Geometry((3, 4, 5), to_lps))
    voxels, place = nrrd.read(content)
    np.testing.assert_array_equal(voxels, mask)
    np.testing.assert_array_equal(place.to_lps, to_lps)
    for broken in (b"", b"no file", content[:-9], content.replace(b"uint8", b"block"), content.replace(b"sizes: 5", b"sizes: 6")):
        with pytest.raises(ServerError, match="cannot be read"):
            nrrd.read(broken)


def test_work_ends_in_the_windows_thread_and_only_its_own_sentences_are_shown():
    worker, told = Worker(lambda: None), []
    release = threading.Event()

    def work(outcome):
        release.wait(30)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    for outcome in (3, StepError("First this."), KeyError("Invented^Person")):
        release.clear()
        worker.start(lambda outcome=outcome: work(outcome), told.append, told.append)
        with pytest.raises(StepError, match="still waits"):
            worker.start(lambda: None, told.append, told.append)
        worker.poll()
        release.set()
        while worker.is_busy:
            worker.poll()
    assert told[:2] == [3, "First this."]
    assert "KeyError" in told[2]
    assert "Invented" not in told[2]
