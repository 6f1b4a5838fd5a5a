"""What may be logged of an error names nobody."""

import pytest

from lesionlabel.lesions.errors import without_uids


@pytest.mark.parametrize(
    "uid",
    [
        "1.2.840.113619.2.55.3.4",
        "2.25.329800735698586629295641978511506172918",
        "1.2.3.4.5",
        "1.3.12.2.1107.5.1.4.1",
        "12.840.113619.2.55",
        "3.1.2.4.5",
        "01.2.840.113619.2",
    ],
)
def test_a_uid_is_named_neither_alone_nor_as_a_file(uid):
    for text in (uid, f"{uid}.nrrd", f"{uid}.nii.gz", f"({uid})", f"series {uid}: gone"):
        assert uid not in without_uids(text)
        assert "(UID)" in without_uids(text)


@pytest.mark.parametrize(
    "text",
    [
        "10737418240 bytes",
        "0.30000000000000004",
        "192.168.100.200",
        "version 2.13.0",
        "distances from 1.25 to 2.50 mm.",
        "a1b2" * 16,
    ],
)
def test_what_is_no_uid_stays(text):
    assert without_uids(text) == text
