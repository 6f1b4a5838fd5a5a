"""Results as a site has configured them: whether, whereto, and where they wait."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from lesionlabel.datastore.curated import CuratedDatastore
from lesionlabel.datastore.outbox import MAKING
from lesionlabel.datastore.pacs import PacsDatastore
from lesionlabel.datastore.pacs_address import address_of, connect
from lesionlabel.datastore.result_source import HEADERS, pacs_source
from lesionlabel.datastore.results import Cases, OpenImage, Results
from lesionlabel.imaging.dicomweb import DicomWeb, check_url
from lesionlabel.lesions.errors import InputError
from lesionlabel.settings import Settings

ONLY_PACS = (
    "LESIONLABEL_STORE_RESULTS needs --studies http://…/dicom-web. Imported files keep no header that names a patient, so no "
    "DICOM result can be made on them. Unset it, or serve the PACS."
)
#: Seconds for which a folder of work that is under way is not touched.
IN_USE_S = 3600.0


def results_folder(settings: Settings, studies: Path) -> Path:
    """Of one PACS: results on its series never go to another."""
    return settings.results_folder / studies.name


def open_cases(settings: Settings, datastore: CuratedDatastore, open_image: OpenImage) -> Cases | None:
    """What makes DICOM documents about images; None where they do not come from a PACS."""
    if not isinstance(datastore, PacsDatastore):
        return None
    folder = results_folder(settings, datastore.studies)
    _forget_leftovers(folder)
    source_of = pacs_source(datastore.client, datastore.studies, folder)
    return Cases(folder, settings.classes, datastore, open_image, source_of)


def check_results(settings: Settings, *, on_pacs: bool) -> None:
    """Before a server starts: raises InputError where results are to be stored and cannot be."""
    if not on_pacs:
        raise InputError(ONLY_PACS)
    try:
        check_url(settings.results_url or "http://pacs")
    except InputError as error:
        raise InputError(f"LESIONLABEL_RESULTS_URL: {error}") from None


def open_results(settings: Settings, datastore: CuratedDatastore, cases: Cases | None) -> Results | None:
    """What stores results on the PACS; None unless it is configured. Raises InputError where it is and cannot be."""
    if not settings.store_results:
        return None
    if cases is None or not isinstance(datastore, PacsDatastore):
        raise InputError(ONLY_PACS)
    target = datastore.client if settings.results_url is None else results_client(settings, datastore.studies)
    return Results(results_folder(settings, datastore.studies), datastore, cases, target.stow, target.url)


def _forget_leftovers(folder: Path) -> None:
    """Folders that a killed process left, with files that name patients. Those of the last hour may be in use."""
    for pattern in (MAKING, HEADERS):
        for left in folder.glob(f"{pattern}*"):
            with suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > IN_USE_S:
                    shutil.rmtree(left, ignore_errors=True)


def _server(url: str) -> tuple[str, str]:
    """Whom credentials for the address are for, and whether they go over TLS."""
    parts = urlsplit(url)
    return parts.scheme.lower(), parts.netloc.lower()


def results_client(settings: Settings, studies: Path) -> DicomWeb:
    """A client for where results go: LESIONLABEL_RESULTS_URL, else the PACS whose folder studies is. Raises InputError."""
    address = address_of(studies)
    if settings.results_url is None:
        if address is None:
            raise InputError(f"{studies} is no folder of a PACS, so nobody knows where its results go.")
        return connect(address, settings)
    url = check_url(settings.results_url)
    user, password = settings.results_username, settings.results_password
    if user is None and address is not None and _server(address) == _server(url):
        return connect(url, settings)
    # The studies' credentials are not shown to another machine.
    return DicomWeb(
        url,
        None if user is None else user.get_secret_value(),
        None if password is None else password.get_secret_value(),
        settings.dicomweb_ca_file,
        settings.dicomweb_timeout_s,
    )
