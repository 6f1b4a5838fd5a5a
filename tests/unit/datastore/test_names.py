import pytest

from lesionlabel.datastore.names import id_for, require_extension, require_id, require_tag, split_extension
from lesionlabel.lesions.errors import InputError


@pytest.mark.parametrize("name", ["case_1", "1.2.840.113619", "A-b_c.d", "x" * 128, "_x", "-x"])
def test_an_id_of_letters_digits_dots_and_dashes_is_accepted(name):
    assert require_id(name) == name
    assert require_tag(name) == name


@pytest.mark.parametrize(
    "name", ["", ".hidden", "..", "../x", "a/b", "a\\b", "x" * 129, "a b", "a\n", "ä", "/etc/passwd", "a\0b", "a%2fb"]
)
def test_anything_that_could_be_a_path_or_is_not_plain_is_refused(name):
    with pytest.raises(InputError):
        require_id(name)
    with pytest.raises(InputError):
        require_tag(name)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.NRRD", "a.seg.nrrd", "a.series.json"])
def test_an_id_that_ends_like_a_file_is_refused(name):
    with pytest.raises(InputError, match="ending"):
        require_id(name)


def test_the_tag_of_the_history_folder_is_reserved():
    with pytest.raises(InputError, match="reserved"):
        require_tag("History")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a.b.nii.gz", ("a.b", ".nii.gz")),
        ("a.nii.gz.nii.gz", ("a.nii.gz", ".nii.gz")),
        ("a.seg.nrrd", ("a", ".seg.nrrd")),
        ("A.NII.GZ", ("A", ".nii.gz")),
        ("/tmp/x.y/a.nrrd", ("a", ".nrrd")),
        ("plain", ("plain", "")),
    ],
)
def test_the_ending_is_taken_off_once_and_whole(name, parts):
    assert split_extension(name) == parts


@pytest.mark.parametrize("name", ["plain", "a.p/y", "a.verylongending", "a. gz"])
def test_a_file_without_a_storable_ending_is_refused(name):
    with pytest.raises(InputError, match=r"Send \.nii\.gz"):
        require_extension(name)


@pytest.mark.parametrize("name", ["5: Abdomen 2.0", "scan.nii", "Leber (venös)", "x" * 200, "a b"])
def test_a_clients_name_for_an_image_always_becomes_the_same_id(name):
    assert require_id(id_for(name)) == id_for(name) != name
    assert id_for("5: Abdomen") != id_for("5; Abdomen")
    assert id_for("case_1") == "case_1"


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a\\b", ".hidden", "", "  ", "a\0b", "a\nb"])
def test_a_clients_name_that_could_be_a_path_is_refused(name):
    with pytest.raises(InputError):
        id_for(name)
