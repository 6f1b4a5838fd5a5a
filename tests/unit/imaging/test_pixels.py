from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import openjpeg.utils
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, JPEG2000Lossless, JPEGLosslessSV1, RLELossless

from lesionlabel.imaging.read import read_volume
from lesionlabel.lesions.errors import InputError


def stored(dataset: FileDataset) -> NDArray[np.integer]:
    kind = np.int16 if dataset.PixelRepresentation else np.uint16
    return np.frombuffer(dataset.PixelData, dtype=kind).reshape(dataset.Rows, dataset.Columns)


def as_unsigned(dataset: FileDataset, number: int) -> None:
    """Stored as scanners do: unsigned 12 bits, intercept -1024."""
    dataset.PixelData = (stored(dataset).astype(np.int32) + 1024).astype(np.uint16).tobytes()
    dataset.PixelRepresentation, dataset.BitsStored, dataset.HighBit = 0, 12, 11
    dataset.RescaleIntercept = -1024


def compress(dataset: FileDataset, syntax: UID, encoded: bytes) -> None:
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([encoded])
    dataset["PixelData"].is_undefined_length = True


def jpeg_lossless(values: NDArray[np.uint16]) -> bytes:
    """A minimal JPEG lossless encoder (ITU T.81, process 14, predictor 1), every category coded in five bits."""
    rows, columns = values.shape
    pixels = values.astype(np.int64)
    bits = []
    for row in range(rows):
        for column in range(columns):
            if column:
                guess = pixels[row, column - 1]
            else:
                guess = pixels[row - 1, 0] if row else 1 << 15
            difference = int((pixels[row, column] - guess + 32768) % 65536 - 32768)
            size = 16 if difference == -32768 else abs(difference).bit_length()
            bits.append(f"{size:05b}")
            if 0 < size < 16:
                bits.append(f"{difference if difference > 0 else difference + (1 << size) - 1:0{size}b}")
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    scan = bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8)).replace(b"\xff", b"\xff\x00")
    frame = struct.pack(">BHHB3B", 16, rows, columns, 1, 1, 0x11, 0)
    table = bytes([0x00, 0, 0, 0, 0, 17, *[0] * 11, *range(17)])
    start = bytes([1, 1, 0x00, 1, 0, 0])
    segments = [(0xC3, frame), (0xC4, table), (0xDA, start)]
    head = b"".join(struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content for marker, content in segments)
    return b"\xff\xd8" + head + scan + b"\xff\xd9"


def rle(dataset: FileDataset, number: int) -> None:
    dataset.compress(RLELossless, encoding_plugin="pydicom")


def jpeg_2000(dataset: FileDataset, number: int) -> None:
    compress(dataset, JPEG2000Lossless, openjpeg.utils.encode(stored(dataset), bits_stored=int(dataset.BitsStored)))


def jpeg_2000_unsigned(dataset: FileDataset, number: int) -> None:
    as_unsigned(dataset, number)
    jpeg_2000(dataset, number)


def jpeg_lossless_unsigned(dataset: FileDataset, number: int) -> None:
    as_unsigned(dataset, number)
    compress(dataset, JPEGLosslessSV1, jpeg_lossless(stored(dataset).astype(np.uint16)))


@pytest.mark.parametrize("change", [as_unsigned, rle, jpeg_2000, jpeg_2000_unsigned, jpeg_lossless_unsigned])
def test_every_way_of_storing_gives_the_same_hu(
    change: Callable[..., None], write_series: Callable[..., Any], body: NDArray[np.int16]
) -> None:
    series = write_series(hu=np.tile(body, (1, 4, 3)), change=change)
    np.testing.assert_array_equal(read_volume(series.folder).voxels, series.hu)


def test_each_slice_has_its_own_rescale(write_series: Callable[..., Any]) -> None:
    def change(dataset: FileDataset, number: int) -> None:
        dataset.PixelData = ((stored(dataset).astype(np.int32) + 100 * number) * 2).astype(np.int16).tobytes()
        dataset.RescaleSlope, dataset.RescaleIntercept = "0.5", -100 * number

    series = write_series(change=change)
    np.testing.assert_array_equal(read_volume(series.folder).voxels, series.hu)


def padding_as_unsigned(dataset: FileDataset, number: int) -> None:
    """-2000 written as unsigned although the pixels are signed."""
    dataset.add_new("PixelPaddingValue", "US", 63536)


def test_padding_below_air_becomes_air_and_padding_inside_the_scale_stays(
    write_series: Callable[..., Any], body: NDArray[np.int16]
) -> None:
    padded = body.copy()
    padded[:, :2] = -2000
    padded[:, 9, 10] = 0
    outside = read_volume(write_series("a", hu=padded, change=padding_as_unsigned).folder)
    assert np.all(outside.voxels[:, :2] == -1024)
    np.testing.assert_array_equal(outside.voxels[:, 2:], padded[:, 2:])
    inside = read_volume(write_series("b", hu=padded, PixelPaddingValue=0).folder)
    assert np.all(inside.voxels[:, 9, 10] == 0)


def test_negative_values_without_their_sign_bits(write_series: Callable[..., Any]) -> None:
    def change(dataset: FileDataset, number: int) -> None:
        dataset.PixelData = (stored(dataset).astype(np.int32) & 0x0FFF).astype(np.uint16).tobytes()
        dataset.BitsStored, dataset.HighBit = 12, 11

    series = write_series(change=change)
    np.testing.assert_array_equal(read_volume(series.folder).voxels, series.hu)


def test_overlays_in_unused_bits_are_cleared(write_series: Callable[..., Any]) -> None:
    def change(dataset: FileDataset, number: int) -> None:
        as_unsigned(dataset, number)
        values = stored(dataset).copy()
        values[3:9, 3:9] |= 0x8000
        dataset.PixelData = values.tobytes()
        dataset.add_new(0x60000102, "US", 15)

    series = write_series(change=change)
    np.testing.assert_array_equal(read_volume(series.folder).voxels, series.hu)


def test_zero_windows_and_empty_numbers_do_no_harm(write_series: Callable[..., Any]) -> None:
    series = write_series(WindowCenter=0, WindowWidth=0, KVP=None, InstanceNumber=None)
    np.testing.assert_array_equal(read_volume(series.folder).voxels, series.hu)


def test_slices_cut_short_at_the_end_of_the_stack_are_left_out(write_series: Callable[..., Any]) -> None:
    series = write_series()
    series.files[5].write_bytes(series.files[5].read_bytes()[:-300])
    volume = read_volume(series.folder)
    np.testing.assert_array_equal(volume.voxels, series.hu[:5])


def test_slices_cut_short_in_the_middle_leave_a_gap_that_is_named(write_series: Callable[..., Any]) -> None:
    series = write_series()
    series.files[2].write_bytes(series.files[2].read_bytes()[:-300])
    with pytest.raises(InputError, match=r"missing between 32\.50 and 37\.50 mm.*IM_0004: It holds 660 of 960 bytes"):
        read_volume(series.folder)


def test_a_slope_of_zero_is_refused(write_series: Callable[..., Any]) -> None:
    series = write_series(RescaleSlope=0)
    with pytest.raises(InputError, match=r"None of its slices.*slope 0"):
        read_volume(series.folder)


def test_an_element_that_nobody_needs_and_nobody_can_read_stops_no_slice(write_series: Callable[..., Any]) -> None:
    series = write_series(change=as_unsigned)
    for path in series.folder.glob("*"):
        content = path.read_bytes()
        place = content.index(b"\x10\x00\x10\x00PN")
        path.write_bytes(content[: place + 4] + b"ZZ" + content[place + 6 :])
    np.testing.assert_array_equal(read_volume(series.folder).voxels, series.hu)


def test_pixels_whose_bits_are_not_told_are_refused_in_words(write_series: Callable[..., Any]) -> None:
    series = write_series(change=as_unsigned)
    for path in series.folder.glob("*"):
        dataset = pydicom.dcmread(path)
        del dataset.BitsAllocated
        dataset.save_as(path)
    with pytest.raises(InputError, match="cannot be decoded"):
        read_volume(series.folder)


def test_a_way_of_storing_that_nobody_here_knows_is_refused_in_words(write_series: Callable[..., Any]) -> None:
    series = write_series()
    known, private = b"1.2.840.10008.1.2.1\0", b"1.3.46.670589.33.1.4"
    for path in series.folder.glob("*"):
        path.write_bytes(path.read_bytes().replace(known, private))
    with pytest.raises(InputError, match="cannot be decoded"):
        read_volume(series.folder)
