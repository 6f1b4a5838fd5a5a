"""Reading an experiment's results, so that a damaged one is named and can be made again."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import BadZipFile

from lesionlabel.lesions.errors import IntegrityError


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raise IntegrityError, with what to do, for a result that is missing or damaged."""
    try:
        yield
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
        raise IntegrityError(
            f"{path} is missing or damaged ({error}). Delete it, if it is there, and go on with --resume: it is made again."
        ) from error
