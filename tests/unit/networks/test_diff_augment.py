import torch

from lesionlabel.networks.diff_augment import DiffAugmentation, apply_augmentation, draw_augmentation


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def without_cut(drawn: DiffAugmentation) -> DiffAugmentation:
    return drawn._replace(kept=torch.ones_like(drawn.kept))


def shifts(drawn: DiffAugmentation) -> list[tuple[int, int]]:
    """How far each picture moves down and to the right, read from where a middle pixel comes from."""
    return [(32 - int(rows[32] - 1), 32 - int(columns[32] - 1)) for rows, columns in zip(drawn.rows, drawn.columns, strict=True)]


def test_a_picture_is_moved_as_a_whole_by_at_most_an_eighth_and_grey_comes_in():
    images = torch.rand(300, 1, 64, 64, generator=rng(1)) * 0.5 + 0.25
    drawn = without_cut(draw_augmentation(300, 64, rng(2)))
    seen = apply_augmentation(images, drawn)
    moved = shifts(drawn)
    assert {down for down, _ in moved} == set(range(-8, 9)) == {right for _, right in moved}
    framed = torch.nn.functional.pad(images, (8, 8, 8, 8))
    for image, shown, (down, right) in zip(framed, seen, moved, strict=True):
        assert torch.equal(shown, image[:, 8 - down : 72 - down, 8 - right : 72 - right])


def test_without_a_shift_all_but_the_square_is_as_it_was():
    images = torch.rand(300, 1, 64, 64, generator=rng(1)) * 0.5 + 0.25
    drawn = draw_augmentation(300, 64, rng(2))
    unmoved = drawn._replace(rows=torch.arange(1, 65).expand(300, -1), columns=torch.arange(1, 65).expand(300, -1))
    seen = apply_augmentation(images, unmoved)
    cut = seen[:, 0] == 0
    assert torch.equal(seen[:, 0][~cut], images[:, 0][~cut])
    assert torch.equal(~cut, drawn.kept)
    # A square of a quarter of the side, of which a part may lie outside, anywhere.
    heights, widths = cut.any(dim=2).sum(dim=1), cut.any(dim=1).sum(dim=1)
    assert torch.equal(cut.sum(dim=(1, 2)), heights * widths)
    assert heights.max() == 16 == widths.max()
    assert cut.any(dim=0).all()


def test_real_and_made_pictures_are_treated_alike_by_the_same_draw():
    drawn = draw_augmentation(8, 64, rng(3))
    real, made = torch.rand(2, 8, 1, 64, 64, generator=rng(4))
    both = apply_augmentation(real, drawn) + apply_augmentation(made, drawn)
    torch.testing.assert_close(apply_augmentation(real + made, drawn), both)


def test_the_draw_comes_from_the_passed_generator_only():
    state = torch.get_rng_state()
    one, same, other = draw_augmentation(4, 64, rng(1)), draw_augmentation(4, 64, rng(1)), draw_augmentation(4, 64, rng(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not torch.equal(one.rows, other.rows)
