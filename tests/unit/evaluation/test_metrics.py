import numpy as np
import pytest

from lesionlabel.evaluation.metrics import lesion_weights, measure, over_patients, wilson
from lesionlabel.lesions.classes import DEFAULT_CLASSES, ClassList, LesionClass
from lesionlabel.lesions.errors import InputError

#: Frid-Adar et al. 2018, the confusion matrix of CNN-AUG: rows true, columns predicted; cyst, metastasis, hemangioma.
PAPER = np.array([[52, 1, 0], [2, 44, 18], [0, 18, 47]])


def answers(confusion: np.ndarray, confidence: float = 0.8) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Labels and probabilities that give this confusion matrix, one lesion a patient."""
    labels = np.repeat(np.arange(len(confusion)), confusion.sum(axis=1))
    predicted = np.concatenate([np.repeat(np.arange(len(row)), row) for row in confusion])
    probabilities = np.full((len(labels), len(confusion)), (1 - confidence) / (len(confusion) - 1))
    probabilities[np.arange(len(labels)), predicted] = confidence
    return labels, probabilities, [f"p{i}" for i in range(len(labels))]


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_the_papers_confusion_matrix_gives_the_papers_figures():
    labels, probabilities, patients = answers(PAPER)
    figures = measure(labels, probabilities, patients, DEFAULT_CLASSES, rng())
    assert np.array_equal(figures.confusion, PAPER)
    assert figures.accuracy.percent() == "78.6 % [72.1, 83.9]"
    assert [round(100 * x.value, 1) for x in figures.sensitivity if x] == [98.1, 68.8, 72.3]
    assert [round(100 * x.value, 1) for x in figures.specificity if x] == [98.4, 83.9, 84.6]
    assert figures.macro.value == pytest.approx(np.mean([52 / 53, 44 / 64, 47 / 65]))
    assert figures.macro.low < figures.macro.value < figures.macro.high
    assert figures.majority == pytest.approx(65 / 182)


def test_metastases_called_benign_counts_every_benign_class_and_only_malignant_lesions():
    labels, probabilities, patients = answers(PAPER)
    harm = measure(labels, probabilities, patients, DEFAULT_CLASSES, rng()).malignant_called_benign
    assert harm is not None
    assert (harm.value, harm.of) == (20 / 64, 64)
    two_malignant = ClassList(
        (*DEFAULT_CLASSES.classes[:2], LesionClass("HCC", "25370001", "Hepatocellular carcinoma", False, (1, 1, 1)))
    )
    # Metastasis called HCC is wrong and not benign.
    harm = measure(labels, probabilities, patients, two_malignant, rng()).malignant_called_benign
    assert harm is not None
    assert (harm.value, harm.of) == (2 / 129, 129)
    benign = ClassList(tuple(LesionClass(n, "1", n, True, (1, 1, 1)) for n in ("a", "b", "c")))
    assert measure(labels, probabilities, patients, benign, rng()).malignant_called_benign is None


def test_losses_are_means_of_the_textbook_terms():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.25, 0.25, 0.5]])
    figures = measure(np.array([0, 1]), probabilities, ["a", "b"], DEFAULT_CLASSES, rng())
    assert figures.log_loss.value == pytest.approx(-(np.log(0.7) + np.log(0.25)) / 2)
    assert figures.brier.value == pytest.approx((0.09 + 0.04 + 0.01 + 0.0625 + 0.5625 + 0.25) / 2)


def test_a_patient_with_ten_lesions_weighs_as_five():
    labels = np.array([0] * 10 + [0] * 5)
    probabilities = np.zeros((15, 3))
    probabilities[:10, 0] = 1
    probabilities[10:, 1] = 1
    patients = ["many"] * 10 + ["five"] * 5
    assert lesion_weights(patients).sum() == 10
    figures = measure(labels, probabilities, patients, DEFAULT_CLASSES, rng())
    assert figures.accuracy.value == pytest.approx(0.5)
    assert figures.accuracy.of == pytest.approx(10)
    assert figures.confusion[0].tolist() == [10, 5, 0]


def test_intervals_over_patients_do_not_shrink_when_lesions_repeat():
    values = np.random.default_rng(1).random(40)
    once = over_patients(lambda w: w @ values / w.sum(axis=1), [f"p{i}" for i in range(40)], np.ones(40), rng())
    four = np.repeat(values, 4)
    patients = [f"p{i}" for i in range(40) for _ in range(4)]
    clustered = over_patients(lambda w: w @ four / w.sum(axis=1), patients, np.ones(160), rng())
    assert clustered.high - clustered.low == pytest.approx(once.high - once.low, rel=0.15)


def test_a_class_without_lesions_is_not_given_a_figure():
    labels, probabilities, patients = answers(PAPER)
    kept = labels != 2
    figures = measure(
        labels[kept], probabilities[kept], [p for p, k in zip(patients, kept, strict=True) if k], DEFAULT_CLASSES, rng()
    )
    assert figures.sensitivity[2] is None
    assert figures.to_json()["sensitivity"]["hemangioma"] is None
    with pytest.raises(InputError):
        measure(labels[:0], probabilities[:0], [], DEFAULT_CLASSES, rng())


def test_wilson_never_claims_certainty():
    interval = wilson(np.ones(10, dtype=bool))
    assert interval.value == 1
    assert interval.low == pytest.approx(0.7225, abs=1e-3)
