"""Equal shares, nested amounts, and every picture again from its record."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lesionlabel.augment.classic import augment_cohort, equal_shares, originals
from lesionlabel.augment.draw import Recipe
from lesionlabel.augment.record import AugmentRecord
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.roi import cut_roi

SMALL = Recipe(rotations=2, flips=1, translations=2, scalings=1)


def keys(records: list[AugmentRecord]) -> set[tuple[str, int]]:
    return {(record.lesion_id, record.index) for record in records}


@given(lesions=st.integers(1, 9), amounts=st.tuples(st.integers(0, 120), st.integers(0, 120)), seed=st.integers(0, 99))
@settings(deadline=None)
def test_shares_are_equal_exact_and_nested(
    make_cohort: Callable[..., Cohort], lesions: int, amounts: tuple[int, int], seed: int
) -> None:
    cohort = make_cohort(lesions)
    fewer, more = (equal_shares(cohort, amount, seed, SMALL.per_lesion) for amount in sorted(amounts))
    assert np.all(fewer <= more)
    assert np.ptp(more) <= 1
    assert more.sum() == min(max(amounts), lesions * SMALL.per_lesion)


def test_a_smaller_amount_is_part_of_a_larger_one(make_cohort: Callable[..., Cohort]) -> None:
    cohort = make_cohort(4)
    found = [keys(augment_cohort(cohort, amount, seed=5, recipe=SMALL).records) for amount in (3, 9, 10, 25, 1000)]
    assert [len(f) for f in found] == [3, 9, 10, 25, 4 * SMALL.per_lesion]
    for fewer, more in pairwise(found):
        assert fewer < more


def test_images_index_and_records_belong_together(make_cohort: Callable[..., Cohort]) -> None:
    cohort = make_cohort(3)
    images, index, records = augment_cohort(cohort, 20, seed=1, recipe=SMALL)
    assert images.shape == (20, 1, 64, 64)
    assert images.dtype == torch.float32
    assert sorted(np.bincount(index, minlength=3)) == [6, 7, 7]
    for image, position, record in zip(images, index, records, strict=True):
        lesion = cohort.lesions[position]
        assert record.lesion_id == lesion.lesion_id
        np.testing.assert_allclose(image[0].numpy(), cut_roi(lesion.context, record.placement), atol=1e-5, rtol=0)


def test_every_picture_comes_again_to_the_bit_from_its_record(make_cohort: Callable[..., Cohort]) -> None:
    cohort = make_cohort(3)
    images, index, records = augment_cohort(cohort, 36, seed=11, recipe=SMALL)
    for image, position, record in zip(images, index, records, strict=True):
        read = AugmentRecord.from_json(json.loads(json.dumps(record.to_json())))
        assert read == record
        assert torch.equal(read.make_again(cohort.lesions[position]), image)


def test_a_lesions_pictures_do_not_depend_on_the_other_lesions(make_cohort: Callable[..., Cohort]) -> None:
    many = augment_cohort(make_cohort(5), 5 * SMALL.per_lesion, seed=3, recipe=SMALL)
    one = augment_cohort(make_cohort(1, first=3), SMALL.per_lesion, seed=3, recipe=SMALL)
    assert torch.equal(many.images[many.lesion_index == 3], one.images)


def test_another_seed_gives_other_pictures(make_cohort: Callable[..., Cohort]) -> None:
    cohort = make_cohort(2)
    first, second = (augment_cohort(cohort, 6, seed=seed, recipe=SMALL) for seed in (0, 1))
    assert not torch.equal(first.images, second.images)


def test_originals_are_the_unchanged_rois_and_not_among_the_augmented(make_cohort: Callable[..., Cohort]) -> None:
    cohort = make_cohort(3)
    own = originals(cohort)
    assert own.shape == (3, 1, 64, 64)
    for roi, lesion in zip(own, cohort, strict=True):
        np.testing.assert_array_equal(roi[0].numpy(), cut_roi(lesion.context))
    augmented = augment_cohort(cohort, 36, seed=0, recipe=SMALL).images
    assert (augmented[:, None] - own[None]).abs().amax(dim=(2, 3, 4)).min() > 1e-3


def test_nothing_asked_gives_nothing(make_cohort: Callable[..., Cohort]) -> None:
    images, index, records = augment_cohort(make_cohort(2), 0, seed=0)
    assert images.shape == (0, 1, 64, 64)
    assert len(index) == len(records) == 0
    assert originals(Cohort((), ("cyst", "metastasis"))).shape == (0, 1, 64, 64)


def test_what_cannot_be_made_is_refused(make_cohort: Callable[..., Cohort]) -> None:
    with pytest.raises(InputError, match="-5 augmentations"):
        augment_cohort(make_cohort(2), -5, seed=0)
    with pytest.raises(InputError, match="of 0 lesions"):
        augment_cohort(Cohort((), ("cyst", "metastasis")), 10, seed=0)


def test_a_record_is_only_of_its_own_lesion_and_complete(make_cohort: Callable[..., Cohort]) -> None:
    cohort = make_cohort(2)
    record = augment_cohort(cohort, 2, seed=0, recipe=SMALL).records[0]
    with pytest.raises(InputError, match="not of lesion-1"):
        record.make_again(cohort.lesions[1])
    for key in record.to_json():
        broken = {name: value for name, value in record.to_json().items() if name != key}
        with pytest.raises(InputError, match=key):
            AugmentRecord.from_json(broken)
    with pytest.raises(InputError, match="sideways"):
        AugmentRecord.from_json({**record.to_json(), "flip": "sideways"})


def test_a_ready_cut_lesions_records_say_that_it_was_not_scaled_outward(make_cohort: Callable[..., Cohort]) -> None:
    lesion = make_cohort(1).lesions[0]
    ready_cut = replace(lesion, context=replace(lesion.context, margin_px=2.0))
    records = augment_cohort(Cohort((ready_cut,), ("cyst", "metastasis")), 5, seed=0, recipe=SMALL).records
    assert all(record.inward_only for record in records)
