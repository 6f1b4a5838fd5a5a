"""The DICOMweb client on a real Orthanc."""

from __future__ import annotations

import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any, cast

import pydicom
import pytest
from pydicom.uid import generate_uid

from lesionlabel.imaging import dicomweb, dicomweb_answers, dicomweb_search
from lesionlabel.imaging.dicomweb import DicomWeb
from lesionlabel.lesions.errors import InputError, NotFoundError, PacsError


@pytest.fixture
def connect() -> Iterator[Callable[..., DicomWeb]]:
    """Makes clients, and closes them."""
    with ExitStack() as clients:
        yield lambda *given, **options: clients.enter_context(closing(DicomWeb(*given, **options)))


@pytest.fixture
def pacs(orthanc, connect) -> DicomWeb:
    return connect(orthanc.url)


@pytest.fixture(scope="module")
def stored(orthanc, tiny_series, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, Path]:
    """A series of 24 slices on the PACS: its UIDs, and where its files are."""
    folder = tmp_path_factory.mktemp("stored") / "dicom"
    study, series = tiny_series(folder)
    orthanc.add(folder)
    return study, series, folder


def test_lists_every_ct_series_once_over_several_pages(pacs: DicomWeb, orthanc, tiny_series, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(dicomweb_search, "PAGE", 2)
    uids = []
    for number in range(5):
        uids.append(tiny_series(tmp_path / str(number) / "dicom", slices=3, patient=f"P{number}"))
        orthanc.add(tmp_path / str(number) / "dicom")
    mr = pydicom.dcmread(tmp_path / "0" / "dicom" / "0000.dcm")
    mr.Modality, mr.SeriesInstanceUID, mr.SOPInstanceUID = "MR", generate_uid(), generate_uid()
    mr.file_meta.MediaStorageSOPInstanceUID = mr.SOPInstanceUID
    (tmp_path / "mr").mkdir()
    mr.save_as(tmp_path / "mr" / "mr.dcm")
    orthanc.add(tmp_path / "mr")
    listed = {(one.study_uid, one.series_uid): one.instances for one in pacs.series()}
    assert {uid: listed[uid] for uid in uids} == dict.fromkeys(uids, 3)
    assert mr.SeriesInstanceUID not in {series for _, series in listed}
    assert len(pacs.series()) == len(listed)


def test_a_retrieved_series_is_what_was_stored(pacs: DicomWeb, stored, tmp_path) -> None:
    study, series, folder = stored
    paths = pacs.retrieve(study, series, tmp_path)
    sent = {(ds := pydicom.dcmread(path)).SOPInstanceUID: ds.PixelData for path in folder.iterdir()}
    got = {(ds := pydicom.dcmread(path)).SOPInstanceUID: ds.PixelData for path in paths}
    assert got == sent
    assert {path.name for path in tmp_path.iterdir()} == {f"{uid}.dcm" for uid in sent}


def test_a_retrieval_goes_on_where_it_was(pacs: DicomWeb, stored, tmp_path, monkeypatch) -> None:
    study, series, _ = stored
    paths = pacs.retrieve(study, series, tmp_path)
    before = paths[3].stat().st_mtime_ns
    paths[0].unlink()
    assert pacs.retrieve(study, series, tmp_path) == paths
    assert paths[0].exists()
    assert paths[3].stat().st_mtime_ns == before


def test_a_series_that_is_not_there(pacs: DicomWeb, stored, tmp_path) -> None:
    with pytest.raises(NotFoundError, match="no such series"):
        pacs.retrieve(stored[0], "1.2.3", tmp_path)


def test_a_series_larger_than_allowed(pacs: DicomWeb, stored, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(dicomweb, "MAX_SERIES_BYTES", 30_000)
    with pytest.raises(InputError, match="larger than"):
        pacs.retrieve(stored[0], stored[1], tmp_path)
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("uid", ["../../system", "1.2/../3", "1.2?x", "", "1" * 65])
def test_only_uids_become_part_of_an_address(pacs: DicomWeb, uid: str, tmp_path) -> None:
    with pytest.raises(InputError, match="no DICOM UID"):
        pacs.retrieve("1.2", uid, tmp_path)


def test_stored_objects_can_be_retrieved(pacs: DicomWeb, tiny_series, tmp_path) -> None:
    study, series = tiny_series(tmp_path / "dicom", slices=4)
    paths = sorted((tmp_path / "dicom").iterdir())
    pacs.stow(paths)
    pacs.stow(paths)
    assert len(pacs.retrieve(study, series, tmp_path / "back")) == 4


def test_storing_says_what_is_not_certain(pacs: DicomWeb, tiny_series, tmp_path) -> None:
    tiny_series(tmp_path / "dicom", slices=3)
    paths = sorted((tmp_path / "dicom").iterdir())
    bad = pydicom.dcmread(paths[0])
    del bad.StudyInstanceUID, bad.SeriesInstanceUID
    bad.save_as(paths[0])
    # Orthanc refuses what has no study; the two others may be stored, which is not enough.
    with pytest.raises(PacsError):
        pacs.stow(paths)
    paths[1].write_bytes(b"no DICOM")
    with pytest.raises(InputError):
        pacs.stow(paths[1:])


def test_a_pacs_that_stores_only_for_some(new_orthanc, connect, tiny_series, tmp_path) -> None:
    secured = new_orthanc(AuthenticationEnabled=True, RegisteredUsers={"reader": "open sesame"})
    study, series = tiny_series(tmp_path / "dicom", slices=3)
    paths = sorted((tmp_path / "dicom").iterdir())
    for stranger in (connect(secured.url), connect(secured.url, "reader", "wrong")):
        with pytest.raises(PacsError, match=r"401.*LESIONLABEL_DICOMWEB_PASSWORD"):
            stranger.series()
        with pytest.raises(PacsError, match="401"):
            stranger.stow(paths)
    known = connect(secured.url, "reader", "open sesame")
    known.stow(paths)
    assert [(one.study_uid, one.series_uid) for one in known.series()] == [(study, series)]


class TLSInFront(socketserver.ThreadingTCPServer):
    """What stands before a hospital's PACS: takes TLS with a certificate of its own and passes plain HTTP on."""

    daemon_threads = True

    def __init__(self, pem: Path, port: int) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pem)
        self.behind = port
        # A plain function does as a handler, too.
        super().__init__(("127.0.0.1", 0), cast(Any, self._pass_on))

    def _pass_on(self, plain: socket.socket, address: object, server: object) -> None:
        with suppress(OSError), self.context.wrap_socket(plain, server_side=True) as front:
            asked = front.recv(65536).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
            with socket.create_connection(("127.0.0.1", self.behind)) as behind:
                behind.sendall(asked)
                while piece := behind.recv(65536):
                    front.sendall(piece)


def test_https_with_the_hospitals_own_certificate(orthanc, stored, connect, tmp_path) -> None:
    key, certificate, both = tmp_path / "key.pem", tmp_path / "certificate.pem", tmp_path / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    with TLSInFront(both, orthanc.port) as front:
        threading.Thread(target=front.serve_forever, daemon=True).start()
        url = f"https://127.0.0.1:{front.server_address[1]}/dicom-web"
        with pytest.raises(PacsError, match="LESIONLABEL_DICOMWEB_CA_FILE"):
            connect(url).series()
        assert stored[1] in {one.series_uid for one in connect(url, ca_file=certificate).series()}
        front.shutdown()
    with pytest.raises(InputError, match="no readable file of certificates"):
        connect(url, ca_file=tmp_path / "nothing.pem")


def test_a_pacs_that_hangs_comes_back_or_is_named(orthanc, connect, stored, tmp_path, impatient) -> None:
    hurried = connect(orthanc.url, timeout=0.5)
    orthanc.pause()
    try:
        with pytest.raises(PacsError, match="in time"):
            hurried.series()
        with pytest.raises(PacsError, match="in time"):
            hurried.stow([next(iter(stored[2].iterdir()))])
    finally:
        orthanc.resume()
    assert len(hurried.retrieve(stored[0], stored[1], tmp_path)) == 24


def test_a_retrieval_survives_a_restart_of_the_pacs(new_orthanc, connect, tiny_series, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(dicomweb_answers, "PAUSES_S", (0.2,) * 50)
    away = new_orthanc()
    study, series = tiny_series(tmp_path / "dicom", slices=60, side=32)
    away.add(tmp_path / "dicom")
    client, back = connect(away.url), tmp_path / "back"
    work = threading.Thread(target=lambda: client.retrieve(study, series, back))
    work.start()
    while not list(back.glob("*.dcm")):
        time.sleep(0.001)
    away.kill()
    away.start()
    work.join(60)
    assert len(list(back.glob("*.dcm"))) == 60


def test_nobody_listens(connect, impatient) -> None:
    with pytest.raises(PacsError, match="cannot be reached") as raised:
        connect("http://127.0.0.1:9/dicom-web").series()
    assert "127.0.0.1" not in str(raised.value)


def test_something_else_than_dicomweb(orthanc, connect) -> None:
    with pytest.raises(PacsError, match="DICOMweb"):
        connect(f"{orthanc.root}/nothing-here").series()
    with pytest.raises(PacsError, match="address"):
        connect(f"{orthanc.root}/app").series()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://", "is none"),
        ("ftp://pacs/dicom-web", "is none"),
        ("http://pacs:port/dicom-web", "is none"),
        ("http://u:secret@pacs/dicom-web", "LESIONLABEL_DICOMWEB_PASSWORD"),
        ("http://pacs/dicom-web?x=1", r"'\?'"),
    ],
)
def test_addresses_that_are_none(url: str, why: str) -> None:
    with pytest.raises(InputError, match=why) as raised:
        DicomWeb(url)
    assert "secret" not in str(raised.value)


def test_a_connection_that_breaks_in_the_middle_is_no_instance(connect, tmp_path, impatient) -> None:
    """A server that promises one instance and closes in the middle of it."""
    head = (
        b'HTTP/1.1 200 OK\r\nContent-Type: multipart/related; type="application/dicom"; boundary=x\r\nConnection: close\r\n\r\n'
    )
    listed = b'[{"00080018": {"vr": "UI", "Value": ["1.2.3"]}}]'
    listing = b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(
        listed
    )
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                with suppress(OSError):
                    connection, _ = server.accept()
                    asked = connection.recv(65536)
                    if b"/instances?" in asked:
                        connection.sendall(listing + listed)
                    else:
                        connection.sendall(
                            head + b"--x\r\nContent-Type: application/dicom\r\n\r\n" + b"\0" * 128 + b"DICM half of"
                        )
                    connection.close()
                    continue
                return

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(PacsError, match="only in part"):
            connect(f"http://127.0.0.1:{server.getsockname()[1]}").retrieve("1.2", "1.3", tmp_path)
        server.shutdown(socket.SHUT_RDWR)
    assert list(tmp_path.iterdir()) == []
