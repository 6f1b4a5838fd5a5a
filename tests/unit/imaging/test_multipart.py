"""Parts of a message come out as they went in, however the network cuts it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesionlabel.imaging.multipart import boundary_of, multipart_body, multipart_length, parts_to_files
from lesionlabel.imaging.orientation import from_canonical, to_canonical
from lesionlabel.lesions.volume import Geometry


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parts")


@given(
    parts=st.lists(
        st.one_of(st.binary(max_size=200), st.sampled_from([b"", b"\r\n", b"\r\n--", b"--x", b"\r\n\r\n"])), max_size=4
    ),
    size=st.integers(1, 40),
)
def test_what_is_sent_comes_back(folder: Path, parts: list[bytes], size: int) -> None:
    sent = [folder / f"sent-{number}" for number in range(len(parts))]
    for path, content in zip(sent, parts, strict=True):
        path.write_bytes(content)
    message = b"".join(multipart_body(sent, "boundary-x"))
    assert len(message) == multipart_length(sent, "boundary-x")
    pieces = iter([message[start : start + size] for start in range(0, len(message), size)])
    whole = parts_to_files(pieces, b"boundary-x", lambda number: folder / f"got-{number}")
    assert whole == len(parts)
    assert [(folder / f"got-{number}").read_bytes() for number in range(whole)] == parts


@pytest.mark.parametrize("cut", [5, 20, 40])
def test_a_message_that_ends_too_soon_has_fewer_whole_parts(folder: Path, cut: int) -> None:
    (folder / "a").write_bytes(b"a" * 50)
    message = b"".join(multipart_body([folder / "a", folder / "a"], "b"))
    assert parts_to_files(iter([message[:-cut]]), b"b", lambda number: None) == 1


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ('multipart/related; type="application/dicom"; boundary=19ae', b"19ae"),
        ('multipart/related; boundary="a b"; type="application/dicom"', b"a b"),
        ("application/dicom+json", None),
        ("multipart/related", None),
        ("", None),
    ],
)
def test_boundaries(content_type: str, boundary: bytes | None) -> None:
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize("axes", [(1, 1, 1), (-1, -1, 1), (1, -1, -1), (-1, 1, -1)])
@pytest.mark.parametrize("turned", [False, True])
def test_the_canonical_order_can_be_undone(axes: tuple[int, int, int], turned: bool) -> None:
    affine = np.diag([*np.multiply(axes, (0.8, 0.7, 2.0)), 1.0])
    if turned:
        affine[:3, [0, 1]] = affine[:3, [1, 0]]
    voxels = np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5)
    native = Geometry((3, 4, 5), affine)
    assert np.array_equal(from_canonical(to_canonical(voxels, native)[0], native), voxels)
