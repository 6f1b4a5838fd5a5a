import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import log_loss, roc_auc_score

from lesionlabel.evaluation.calibration import measure_calibration
from lesionlabel.experiment.analysis import analyse, secondary_pairs
from lesionlabel.experiment.findings import PointFigures
from lesionlabel.experiment.outcomes import Outcomes
from lesionlabel.experiment.plan import SCHEDULES, Plan, Point, Schedule
from lesionlabel.experiment.profiles import PROFILES
from lesionlabel.lesions.classes import DEFAULT_CLASSES, ClassList
from lesionlabel.lesions.cohort import Cohort, CohortLesion
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.lesion import Proof
from lesionlabel.lesions.roi import Context

PROFILE = replace(PROFILES["paper"], fresh=6000)
GAN, DUPLICATES = PROFILE.primary
CLASSIC = Point("classic", PROFILE.fixed_classic)
Logits = Mapping[tuple[Schedule, Point], np.ndarray]


def cohort_of(n: int = 60, per_patient: int = 1) -> Cohort:
    """Lesion i has class i mod 3."""
    context = Context(np.zeros((8, 8), dtype=np.float32), (4.0, 4.0), 4.0, 0.75)
    names = tuple(DEFAULT_CLASSES.names)
    lesions = [CohortLesion(f"lesion-{i}", f"p{i // per_patient}", names[i % 3], context, Proof.PATHOLOGY) for i in range(n)]
    return Cohort(tuple(lesions), names)


def outcomes_of(cohort: Cohort, logits: Logits, *, simulated: bool = False, **changes) -> Outcomes:
    seeds = len(next(iter(logits.values())))
    points = tuple(dict.fromkeys(point for _, point in logits))
    plan = Plan(PROFILE, points, tuple(range(seeds)), cohort.digest, cohort.class_names, simulated, "0", "cpu", "2")
    every = np.ones(len(cohort), dtype=bool)
    values = {"fresh": {}, "features": {}, "sizes": {}, "tested": every, "decided_blind": every, **changes}
    folds = np.tile(np.arange(len(cohort)) % 3, (seeds, 1))
    return Outcomes(cohort, plan, folds, logits, generators=[], seconds={}, wall_seconds=0.0, warnings=(), **values)


def answers(cohort: Cohort, predicted: np.ndarray, sure: float = 2.0) -> np.ndarray:
    """Logits whose largest is at the predicted classes (seeds, lesions)."""
    assert predicted.shape[1] == len(cohort)
    return sure * np.eye(3)[predicted]


def with_wrong(cohort: Cohort, *wrong: int, seeds: int = 5) -> np.ndarray:
    """Logits of answers that are right but for some lesions, in every seed."""
    predicted = cohort.labels.copy()
    predicted[list(wrong)] = (predicted[list(wrong)] + 1) % 3
    return answers(cohort, np.tile(predicted, (seeds, 1)))


def only(figures: tuple[PointFigures, ...]) -> PointFigures:
    (found,) = figures
    return found


def test_figures_by_hand():
    cohort = cohort_of(6)
    predicted = np.array([[0, 1, 2, 0, 1, 2], [0, 0, 2, 1, 1, 1]])
    logits = answers(cohort, predicted)
    figures = only(analyse(outcomes_of(cohort, {("steps", CLASSIC): logits}), DEFAULT_CLASSES, 0).figures)
    assert figures.of_seeds == pytest.approx((1, 0.5))
    assert figures.accuracy.value == pytest.approx(0.75)
    assert figures.accuracy.low < 0.75 < figures.accuracy.high
    assert [x.value for x in figures.sensitivity if x] == pytest.approx([0.75, 0.75, 0.75])
    assert [x.value for x in figures.specificity if x] == pytest.approx([7 / 8, 6 / 8, 1])
    assert figures.macro_sensitivity.value == pytest.approx(0.75)
    assert figures.confusion.tolist() == [[1.5, 0.5, 0], [0.5, 1.5, 0], [0, 0.5, 1.5]]
    harm = figures.malignant_called_benign
    assert harm is not None
    assert (harm.value, harm.of) == pytest.approx((0.25, 2))
    probabilities = softmax(logits, axis=2)
    assert figures.log_loss.value == pytest.approx(np.mean([log_loss(cohort.labels, p) for p in probabilities]))
    truth = np.eye(3)[cohort.labels]
    assert figures.brier.value == pytest.approx(((probabilities - truth) ** 2).sum(axis=2).mean())
    areas = [float(roc_auc_score(cohort.labels == 1, p[:, 1])) for p in probabilities]
    assert figures.auc[1] is not None
    assert figures.auc[1].value == pytest.approx(sum(areas) / 2)
    assert np.array_equal(figures.right, predicted == cohort.labels)


def test_a_certain_difference_has_its_sign_and_its_numbers():
    """The GAN's arm has eight lesions of eight patients right that the other has wrong, in every seed."""
    cohort = cohort_of(60)
    better, worse = with_wrong(cohort, 50), with_wrong(cohort, *range(8), 50)
    found = analyse(outcomes_of(cohort, {("steps", GAN): better, ("steps", DUPLICATES): worse}), DEFAULT_CLASSES, 0)
    primary = found.primary
    assert primary is not None
    assert primary.difference.value == pytest.approx(8 / 60)
    assert 0 < primary.difference.low < 8 / 60 < primary.difference.high
    assert primary.p == pytest.approx(2 / 2**8, abs=0.003)
    assert (primary.won, primary.lost, primary.p_holm) == (8, 0, None)
    assert primary.mcnemar == pytest.approx(2 / 2**8)
    assert primary.discordance == pytest.approx(8 / 60)
    assert found.verdict.startswith("classic 5000 + dcgan 3000 is better than classic 5000 + duplicates 3000: +13.3 points [")
    mirrored = analyse(outcomes_of(cohort, {("steps", GAN): worse, ("steps", DUPLICATES): better}), DEFAULT_CLASSES, 0)
    assert mirrored.primary is not None
    assert mirrored.primary.difference.value == pytest.approx(-8 / 60)
    assert mirrored.primary.p == primary.p
    assert "dcgan 3000 is worse than classic 5000 + duplicates 3000: -13.3 points [" in mirrored.verdict


def test_a_null_result_says_what_could_not_have_been_seen():
    cohort = cohort_of(60)
    one, other = with_wrong(cohort, 0, 1, 2), with_wrong(cohort, 3, 4, 5, 6)
    logits: Logits = {("steps", GAN): one, ("steps", DUPLICATES): other}
    found = analyse(outcomes_of(cohort, logits), DEFAULT_CLASSES, 0)
    assert found.primary is not None
    pattern = (
        r"No difference shown between classic 5000 \+ dcgan 3000 and classic 5000 \+ duplicates 3000: "
        r"\+1\.7 points \[-\d+\.\d, \d+\.\d\], p = (1|\.\d\d); differences below (\d+\.\d) points could not have been seen\."
    )
    match = re.fullmatch(pattern, found.verdict)
    assert match
    assert float(match[2]) == pytest.approx(100 * found.primary.detectable, abs=0.05)
    phantom = analyse(outcomes_of(cohort, logits, simulated=True), DEFAULT_CLASSES, 0).verdict
    assert phantom.endswith("a phantom result says nothing about patients.")
    assert phantom.count(".") == found.verdict.count(".")
    one_seed = analyse(outcomes_of(cohort, {key: value[:1] for key, value in logits.items()}), DEFAULT_CLASSES, 0).verdict
    assert "one seed" in one_seed
    assert "one seed" not in found.verdict


def test_few_patients_are_said_to_show_nothing():
    cohort = cohort_of(30, per_patient=6)
    found = analyse(
        outcomes_of(cohort, {("steps", GAN): with_wrong(cohort), ("steps", DUPLICATES): with_wrong(cohort, *range(30))}),
        DEFAULT_CLASSES,
        0,
    )
    assert "no difference, however large, could have been seen" in found.verdict


def test_without_the_primary_arms_nothing_is_concluded():
    cohort = cohort_of(12)
    found = analyse(outcomes_of(cohort, {("steps", GAN): with_wrong(cohort, 1)}), DEFAULT_CLASSES, 0)
    assert found.primary is None
    assert found.verdict.startswith("Nothing is concluded: ")
    # The paper's schedule never gives the verdict.
    pair: Logits = {("epochs", GAN): with_wrong(cohort, 1), ("epochs", DUPLICATES): with_wrong(cohort, 2)}
    by_epochs = analyse(outcomes_of(cohort, pair), DEFAULT_CLASSES, 0)
    assert by_epochs.primary is None
    assert [(one.schedule, one.first, one.second) for one in by_epochs.secondary] == [("epochs", GAN, DUPLICATES)]


def test_answers_without_information_are_at_chance_and_the_interval_covers_it():
    cohort = cohort_of(182, per_patient=2)
    draw = np.random.default_rng(0)
    figures = only(
        analyse(outcomes_of(cohort, {("steps", CLASSIC): draw.standard_normal((5, 182, 3))}), DEFAULT_CLASSES, 0).figures
    )
    assert figures.accuracy.low < 1 / 3 < figures.accuracy.high
    assert figures.macro_sensitivity.low < 1 / 3 < figures.macro_sensitivity.high
    assert all(x is not None and x.low < 0.5 < x.high for x in figures.auc)
    assert figures.slope == pytest.approx(0, abs=0.15)


def test_lesions_whose_reader_saw_the_answer_change_nothing():
    cohort = cohort_of(40)
    tested = np.arange(40) < 30
    one, other = with_wrong(cohort, 0, 1), with_wrong(cohort, 5)
    logits: Logits = {("steps", GAN): one, ("steps", DUPLICATES): other}
    before = analyse(outcomes_of(cohort, logits, tested=tested, decided_blind=tested), DEFAULT_CLASSES, 0)
    changed = {key: np.where(tested[None, :, None], value, -value) for key, value in logits.items()}
    after = analyse(outcomes_of(cohort, changed, tested=tested, decided_blind=tested), DEFAULT_CLASSES, 0)
    assert before.primary == after.primary
    assert before.figures[0].accuracy == after.figures[0].accuracy
    assert before.figures[0].accuracy.of == 30
    with pytest.raises(InputError, match="none may be tested"):
        analyse(outcomes_of(cohort, logits, tested=np.zeros(40, dtype=bool)), DEFAULT_CLASSES, 0)


def test_the_verdict_rests_on_strong_proof_and_the_weaker_stands_beside():
    cohort = cohort_of(40)
    strong = np.arange(40) < 30
    one, other = with_wrong(cohort, *range(30, 40)), with_wrong(cohort, *range(8))
    logits: Logits = {("steps", GAN): one, ("steps", DUPLICATES): other}
    found = analyse(outcomes_of(cohort, logits, tested=strong), DEFAULT_CLASSES, 0)
    assert found.primary is not None
    assert found.with_weaker_proof is not None
    assert found.primary.difference.value == pytest.approx(8 / 30)
    assert found.with_weaker_proof.difference.value == pytest.approx(-2 / 40)
    assert "is better than" in found.verdict
    assert found.figures[0].accuracy.of == 30
    assert analyse(outcomes_of(cohort, logits), DEFAULT_CLASSES, 0).with_weaker_proof is None


def test_a_verdict_on_readers_opinion_says_so():
    cohort = cohort_of(40)
    opinion = Cohort(tuple(replace(x, proof=Proof.CONSENSUS) for x in cohort), cohort.class_names)
    logits: Logits = {("steps", GAN): with_wrong(cohort, 0), ("steps", DUPLICATES): with_wrong(cohort, 1)}
    assert "readers' opinion" in analyse(outcomes_of(opinion, logits), DEFAULT_CLASSES, 0).verdict
    assert "readers' opinion" not in analyse(outcomes_of(cohort, logits), DEFAULT_CLASSES, 0).verdict


def test_all_secondary_comparisons_are_corrected_together_and_only_they():
    cohort = cohort_of(60)
    pairs = secondary_pairs(PROFILE)
    keys: set[tuple[Schedule, Point]] = {(schedule, point) for schedule, *both in pairs for point in both}
    keys |= {("steps", GAN), ("steps", DUPLICATES)}
    logits: Logits = {key: with_wrong(cohort, *range(3 * place)) for place, key in enumerate(sorted(keys))}
    found = analyse(outcomes_of(cohort, logits), DEFAULT_CLASSES, 0)
    assert [(one.schedule, one.first, one.second) for one in found.secondary] == pairs
    assert len(pairs) == len(set(pairs)) == 16
    assert ("steps", *PROFILE.primary) not in pairs
    smallest = min(found.secondary, key=lambda one: one.p)
    assert smallest.p_holm == pytest.approx(min(1, 16 * smallest.p))
    few = analyse(
        outcomes_of(cohort, {key: v for key, v in logits.items() if key[1] in (*PROFILE.primary, CLASSIC)}), DEFAULT_CLASSES, 0
    )
    # What else was run changes the correction, never the test.
    assert few.primary == found.primary
    assert len(few.secondary) == 3
    same = {(one.first, one.second, one.schedule): one.p for one in found.secondary}
    assert all(one.p == same[one.first, one.second, one.schedule] for one in few.secondary)


def test_the_papers_choice_is_the_best_reported_accuracy_by_epochs():
    cohort = cohort_of(30)
    wrong = {0: 9, 500: 4, 5000: 2, 7500: 2, 15000: 3}
    logits: dict[tuple[Schedule, Point], np.ndarray] = {}
    for amount, number in wrong.items():
        logits["epochs", Point("classic", amount)] = with_wrong(cohort, *range(number))
        logits["steps", Point("classic", amount)] = with_wrong(cohort, *range(amount // 1500))
    assert analyse(outcomes_of(cohort, logits), DEFAULT_CLASSES, 0).chosen_as_in_the_paper == (Point("classic", 5000),)
    logits["epochs", GAN] = with_wrong(cohort, 1, 2)
    logits["epochs", replace(GAN, added=300)] = with_wrong(cohort, 1)
    chosen = analyse(outcomes_of(cohort, logits), DEFAULT_CLASSES, 0).chosen_as_in_the_paper
    assert chosen == (Point("classic", 5000), replace(GAN, added=300))


def test_the_slope_is_the_calibrations_and_none_without_errors():
    cohort = cohort_of(90)
    draw = np.random.default_rng(1)
    noisy = draw.standard_normal((1, 90, 3)) + np.eye(3)[cohort.labels]
    figures = only(analyse(outcomes_of(cohort, {("steps", CLASSIC): np.tile(noisy, (3, 1, 1))}), DEFAULT_CLASSES, 0).figures)
    expected = measure_calibration(cohort.labels, softmax(noisy[0], axis=1), cohort.patients, draw).slope.value
    assert figures.slope == pytest.approx(expected, rel=1e-6)
    certain = only(analyse(outcomes_of(cohort, {("steps", CLASSIC): with_wrong(cohort)}), DEFAULT_CLASSES, 0).figures)
    assert certain.slope is None
    assert certain.accuracy.value == 1


def test_fresh_lesions_bring_the_error_of_networks_and_of_lesions():
    cohort = cohort_of(12)
    logits: Logits = {("steps", CLASSIC): with_wrong(cohort, 1)}
    for accuracies, half in ((np.full((5, 3), 0.8), 2.145 * np.sqrt(0.16 / 6000)), (np.array([[0.7, 0.8, 0.9]]), 0.2489)):
        fresh = only(
            analyse(outcomes_of(cohort, logits, fresh={("steps", CLASSIC): accuracies}), DEFAULT_CLASSES, 0).figures
        ).fresh
        assert fresh is not None
        assert fresh.value == pytest.approx(0.8)
        assert fresh.value - fresh.low == pytest.approx(half, rel=0.01)
        assert fresh.high <= 1


def test_a_class_without_tested_lesions_has_no_figures_and_breaks_none():
    cohort = cohort_of(30)
    figures = only(
        analyse(
            outcomes_of(cohort, {("steps", CLASSIC): with_wrong(cohort, 0, 2)}, tested=cohort.labels != 1), DEFAULT_CLASSES, 0
        ).figures
    )
    assert figures.sensitivity[1] is None
    assert figures.auc[1] is None
    assert figures.malignant_called_benign is None
    assert figures.macro_sensitivity.value == pytest.approx(0.9)


def test_bad_input_is_named():
    cohort = cohort_of(12)
    unfinished = with_wrong(cohort, 1)
    unfinished[2, 4] = np.nan
    with pytest.raises(InputError, match="not finished"):
        analyse(outcomes_of(cohort, {("steps", CLASSIC): unfinished}), DEFAULT_CLASSES, 0)
    other = ClassList(DEFAULT_CLASSES.classes[::-1])
    with pytest.raises(InputError, match="hemangioma, metastasis, cyst were given"):
        analyse(outcomes_of(cohort, {("steps", CLASSIC): with_wrong(cohort)}), other, 0)


def test_the_same_seed_gives_the_same_findings_under_every_schedule():
    cohort = cohort_of(40)
    logits: Logits = {(schedule, point): with_wrong(cohort, 0, 7) for schedule in SCHEDULES for point in PROFILE.primary}
    one, other = (analyse(outcomes_of(cohort, logits), DEFAULT_CLASSES, 3) for _ in range(2))
    assert one.primary == other.primary
    assert [f.accuracy for f in one.figures] == [f.accuracy for f in other.figures]
    assert len(one.figures) == 4
