"""Whether a file says that its images are synthetic: by its name, its header, or pixels that this site has made."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import SimpleITK as sitk
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngImageFile

from lesionlabel.imaging.dicom import read_dataset
from lesionlabel.imaging.nifti import READERS, image_suffix, read_image
from lesionlabel.imaging.synthetic import MARK_KEY, PREFIX, WORDS, is_synthetic_name, says_synthetic
from lesionlabel.imaging.synthetic_register import SyntheticRegister, may_hold_rois
from lesionlabel.imaging.synthetic_tags import MARK_TAGS, is_generated
from lesionlabel.lesions.errors import InputError

BY_NAME = f"its name begins with {PREFIX}"
BY_HEADER = "its header says so"
BY_PIXELS = "this site's generators made its pixels"
#: Bytes at the beginning of a NIfTI or NRRD file in which its header is looked for.
HEADER_BYTES = 1 << 16
#: A larger PNG is not decoded for the text that can follow its pixels.
MAX_SIDE = 4096


def synthetic_mark_of(path: Path) -> str | None:
    """How a file says that it is synthetic, None where it does not: by its name, whatever it is, or in its header.

    Looked at are the text chunks of PNG, the headers of NIfTI and NRRD, and a generator's elements in DICOM (any other name).
    A damaged file, or one of another kind, says nothing. The phantom's images are simulated and bear no such mark.
    """
    if is_synthetic_name(path):
        return BY_NAME
    suffix = path.suffix.casefold()
    if image_suffix(path) is not None:
        marked = _volume_header_is_marked(path)
    elif suffix == ".png":
        marked = _png_is_marked(path)
    elif suffix == ".npy":
        marked = False
    else:
        marked = _dicom_is_marked(path)
    return BY_HEADER if marked else None


def synthetic_volume(path: Path, register: SyntheticRegister) -> str | None:
    """How a NIfTI or NRRD file is recognised as synthetic: by name, header or pixels; None where it is not.

    Voxels are read only where slices have the size of a ROI. A file that cannot be read is left to whoever opens it.
    """
    said = synthetic_mark_of(path)
    if said is not None:
        return said
    try:
        if not may_hold_rois(_size(path)):
            return None
        return BY_PIXELS if register.knows_volume(read_image(path)[0]) else None
    except (InputError, OSError):
        return None


def _size(path: Path) -> tuple[int, ...]:
    suffix = image_suffix(path)
    if suffix is None or not path.is_file():
        return ()
    reader = sitk.ImageFileReader()
    reader.SetImageIO(READERS[suffix])
    reader.SetFileName(os.fspath(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return ()
    return tuple(reader.GetSize()[:3])


def _volume_header_is_marked(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(HEADER_BYTES)
        if start[:2] == b"\x1f\x8b":
            with gzip.open(path) as packed:
                start = packed.read(HEADER_BYTES)
    except (OSError, EOFError, zlib.error):
        return False
    return WORDS.encode().lower() in start.lower()


def _png_is_marked(path: Path) -> bool:
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            if _texts_are_marked(picture.info):
                return True
            # Some programs write texts behind the pixels.
            return isinstance(picture, PngImageFile) and max(picture.size) <= MAX_SIDE and _texts_are_marked(picture.text)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def _texts_are_marked(texts: Mapping[Any, Any]) -> bool:
    return MARK_KEY in texts or any(isinstance(text, str) and says_synthetic(text) for text in texts.values())


def _dicom_is_marked(path: Path) -> bool:
    try:
        header = read_dataset(path, list(MARK_TAGS))
    except InputError:
        return False
    return is_generated(header)
