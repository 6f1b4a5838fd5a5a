"""What may be logged and shown of an error in the work on results: what went wrong, and no identifier."""

from __future__ import annotations

import re

from lesionlabel.lesions.errors import InputError, IntegrityError, NotFoundError, PacsError, places, without_uids

#: Errors in our own words. They name no patient, but files that are called after a series or an image.
OWN = (InputError, NotFoundError, IntegrityError, PacsError)
#: As Python quotes the path in an error of the operating system.
PATH = re.compile(r"'/[^']*'")


def in_words(error: BaseException, image_id: str = "") -> str:
    """What went wrong, without UIDs, paths and the image's id; of an error that is not ours only its kind and its places."""
    if not isinstance(error, OWN):
        return f"Something unexpected went wrong: {places(error)}."
    text = PATH.sub("(path)", str(error))
    if image_id:
        text = text.replace(image_id, "(UID)")
    return without_uids(text)
