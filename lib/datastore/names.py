"""What an image id, a label tag and a file extension may look like, so that none of them can leave the studies folder."""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePath

from lesionlabel.lesions.errors import InputError

NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,8}(\.[A-Za-z0-9]{1,8})?")
#: Endings that belong to files beside an image, longest first.
KNOWN_EXTENSIONS = (".seg.nrrd", ".series.json", ".nii.gz", ".nrrd", ".nii", ".json")
IMAGE_EXTENSIONS = (".nii.gz", ".nii", ".nrrd")
#: The folder in labels/ that holds every version ever saved; no tag may be called that.
HISTORY = "history"


def require_id(text: str) -> str:
    """The image id if it is one. Raises InputError for anything that could be a path or be taken for a file name."""
    _require_name("image id", text)
    ending = next((e for e in KNOWN_EXTENSIONS if text.casefold().endswith(e)), None)
    if ending is not None:
        raise InputError(f"The image id {text!r} ends in {ending}, which is a file's ending. Leave it off.")
    return text


def id_for(name: str) -> str:
    """The image id for the name that a client gives an image: the name if it is an id, else always the same one made of it.

    3D Slicer sends a volume's name, such as "5: Abdomen". Raises InputError for what could be a path.
    """
    if is_id(name) or not name.strip() or name.startswith(".") or re.search(r"[/\\\x00-\x1f]", name):
        return require_id(name)
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:100] or "image"
    return f"{plain}-{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:8]}"


def is_id(text: str) -> bool:
    """Whether require_id accepts the text."""
    return NAME.fullmatch(text) is not None and not text.casefold().endswith(KNOWN_EXTENSIONS)


def require_tag(text: str) -> str:
    """The label tag if it is one. Raises InputError for anything that could be a path, and for the reserved tag."""
    _require_name("label tag", text)
    if text.casefold() == HISTORY:
        raise InputError(f"The label tag {text!r} is reserved for earlier versions. Use another, such as 'final'.")
    return text


def split_extension(file_name: str) -> tuple[str, str]:
    """(stem, extension) of a file name; .nii.gz and .seg.nrrd count as one extension."""
    name = PurePath(file_name).name
    lower = name.casefold()
    for extension in KNOWN_EXTENSIONS:
        if lower.endswith(extension) and len(name) > len(extension):
            return name[: -len(extension)], extension
    suffix = PurePath(name).suffix
    return (name[: -len(suffix)], suffix) if suffix else (name, "")


def require_extension(file_name: str) -> str:
    """The extension of file_name. Raises InputError when it has none that is safe to store."""
    _, extension = split_extension(file_name)
    if not EXTENSION.fullmatch(extension):
        raise InputError(
            f"A file ending in {extension!r} cannot be stored. Send .nii.gz, .nii, .nrrd or .seg.nrrd (or .json for markups)."
        )
    return extension


def _require_name(what: str, text: str) -> None:
    if not NAME.fullmatch(text):
        raise InputError(
            f"{text!r} is no {what}. Allowed are 1 to 128 letters, digits, dots, underscores and hyphens, with no dot in front."
        )
