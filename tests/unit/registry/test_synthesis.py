import numpy as np
import pytest
import SimpleITK as sitk

from lesionlabel.imaging.synthetic import is_synthetic_name
from lesionlabel.imaging.synthetic_pixels import to_hu
from lesionlabel.imaging.synthetic_register import SyntheticRegister
from lesionlabel.lesions.errors import InputError, NoModelError
from lesionlabel.registry.synthesis import Synthesis, describe, write_images, write_one_file
from lesionlabel.registry.synthetic_request import SyntheticRequest, read_synthetic


@pytest.fixture
def synthesis(settings, promote_untrained_generators):
    promote_untrained_generators(settings)
    return Synthesis(settings, SyntheticRegister(settings.synthetic_folder))


def test_what_was_made_is_known_as_synthetic_before_anybody_has_it(synthesis):
    images, mark, _ = synthesis.make("gan_cyst", SyntheticRequest(n=3, seed=4))
    assert all(synthesis.register.knows(hu) for hu in to_hu(images))
    assert (mark.label, mark.seed, mark.generator) == ("cyst", 4, "gan_cyst")


@pytest.mark.parametrize("form", ["png", "npy", "nifti", "dicom"])
def test_every_format_is_written_under_a_name_that_says_synthetic(synthesis, tmp_path, form):
    asked = SyntheticRequest(n=3, seed=4, format=form)
    images, mark, _ = synthesis.make("gan_cyst", asked)
    written = write_images(tmp_path, images, mark, form)
    assert written.exists()
    assert written.name.startswith("SYNTHETIC-cyst-gan-cyst-")
    if form == "dicom":
        assert len(list(written.iterdir())) == 3
    if form == "nifti":
        np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(written)), to_hu(images))


def test_one_file_for_an_answer_leaves_no_folder_behind(synthesis, tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    asked = SyntheticRequest(n=2, format="dicom")
    images, mark, _ = synthesis.make("gan_cyst", asked)
    file = write_one_file(images, mark, asked)
    assert [path.name for path in (tmp_path / "tmp").iterdir()] == [file.name]
    assert file.suffix == ".zip"
    assert is_synthetic_name(file)


def test_the_answer_names_no_patient(synthesis):
    _, mark, generator = synthesis.make("gan_cyst", SyntheticRequest())
    said = describe(mark, generator, 16)
    assert said["synthetic"] is True
    assert "pseudonym" not in str(said)


def test_without_a_generator_there_is_a_reason_and_no_random_picture(settings, monkeypatch, tmp_path):
    monkeypatch.setattr("lesionlabel.registry.generators.starter_folder", lambda name: tmp_path / "none")
    with pytest.raises(NoModelError, match="lesionlabel train gan"):
        Synthesis(settings, SyntheticRegister(settings.synthetic_folder)).make("gan_cyst", SyntheticRequest())


def test_the_mark_names_the_class_as_it_is_configured(synthesis):
    _, mark, _ = synthesis.make("acgan", SyntheticRequest(n=1, label=" CYST"))
    assert mark.label == "cyst"


def test_what_would_be_ignored_is_refused():
    with pytest.raises(InputError, match="Leave burn out"):
        read_synthetic({"format": "npy", "burn": True})
    with pytest.raises(InputError, match="burn must be true or false, got 'flase'"):
        read_synthetic({"burn": "flase"})


def test_what_3d_slicers_options_table_sends_is_understood():
    asked = read_synthetic({"n": "12", "seed": "3", "truncation": "0.8", "format": ["nifti", "png"], "label": "", "burn": True})
    assert asked == SyntheticRequest(n=12, seed=3, truncation=0.8, format="nifti", burn=True)
    assert read_synthetic({"n": None, "client_id": "x", "result_extension": ".nrrd"}) == SyntheticRequest()
    assert read_synthetic({"n": 5.0}).n == 5


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"n": 0}, "n must be"),
        ({"n": 1001}, "1 to 1000, got 1001"),
        ({"n": True}, "n must be a whole number"),
        ({"n": 2.5}, "n must be a whole number"),
        ({"n": [[1]]}, "n must be a whole number"),
        ({"seed": "seven"}, "seed must be a whole number"),
        ({"seed": 1e400}, "seed must be a whole number"),
        ({"truncation": "a"}, "truncation must be a number"),
        ({"format": "jpg"}, "Unknown format 'jpg'"),
    ],
)
def test_anything_else_is_refused_by_name(request_, words):
    with pytest.raises(InputError, match=words):
        read_synthetic(request_)
