"""Which PACS: its address, its credentials, and the folder under LESIONLABEL_HOME that holds what belongs to it."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from lesionlabel.imaging.dicomweb import DicomWeb, check_url
from lesionlabel.lesions.errors import IntegrityError
from lesionlabel.lesions.files import write_atomically
from lesionlabel.settings import Settings

#: In a folder: the address of the PACS whose labels it holds.
FILE = "pacs.json"


def pacs_folder(url: str, settings: Settings) -> Path:
    """The folder that holds what belongs to a PACS, made if there is none. Raises InputError for an address that is none."""
    url = check_url(url)
    folder = settings.home.resolve() / "pacs" / hashlib.sha256(url.encode()).hexdigest()[:16]
    if not (folder / FILE).exists():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        write_atomically(folder / FILE, json.dumps({"url": url}).encode())
    return folder


def studies_folder(studies: Path, settings: Settings) -> Path:
    """A command's --studies as the folder that holds its labels: the folder itself, or that of the PACS with this address.

    A Path has dropped one of an address's two slashes.
    """
    found = re.match(r"(https?):/+(?=[^/])", str(studies), re.IGNORECASE)
    return studies if found is None else pacs_folder(f"{found[1]}://{str(studies)[found.end() :]}", settings)


def address_of(studies: Path) -> str | None:
    """The address of the PACS whose folder that is; None for another folder. Raises IntegrityError when it is damaged."""
    try:
        return str(json.loads((studies / FILE).read_bytes())["url"])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"{studies / FILE} is damaged ({error!r}). Write {{'url': the address of the PACS}} into it."
        ) from None


def credentials(settings: Settings) -> tuple[str | None, str]:
    """The PACS's user and password, (None, "") where it wants none."""
    user, password = settings.dicomweb_username, settings.dicomweb_password
    return None if user is None else user.get_secret_value(), "" if password is None else password.get_secret_value()


def connect(url: str, settings: Settings) -> DicomWeb:
    """A client for a PACS with the site's credentials. Raises InputError."""
    return DicomWeb(url, *credentials(settings), settings.dicomweb_ca_file, settings.dicomweb_timeout_s)
