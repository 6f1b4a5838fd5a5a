"""How many curated lesions each strategy needs to reach what random picking reaches: simulated on the phantom.

    python benchmarks/active_learning.py --out DIR                           # 2 replicates: about 5 minutes of a free core
    python benchmarks/active_learning.py --out DIR --replicates 10 --jobs 2  # the registered comparison
    python benchmarks/active_learning.py --out DIR --table                   # the table of what is finished

The protocol, and what may be said of it, is docs/active-learning.md. A replicate is a cohort of its own seed: a pool of patients,
one CT each, that nobody has read. Reading one curates all its lesions. All strategies start from the same patients and the same
network, read as many patients a round, and train anew after each; the rankings are those of the server. What is finished
(DIR/replicate-SEED.json) is not done again. A result on the phantom says nothing about patients.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from scipy.stats import t as student

from lesionlabel.augment.classic import originals
from lesionlabel.experiment.statistics import sign_flip
from lesionlabel.lesions.cohort import Cohort, load_cohort, save_cohort
from lesionlabel.lesions.files import write_atomically
from lesionlabel.lesions.splits import refuse_leak
from lesionlabel.networks.paper_cnn import PaperCNN
from lesionlabel.phantom.cohort import PAPER_COUNTS, make_cohort
from lesionlabel.phantom.lock import code_hash
from lesionlabel.strategies.ranking import RANKINGS, Seen
from lesionlabel.training.classifier import ClassifierConfig, train_classifier
from lesionlabel.training.dataset import training_set

#: Of pools; 0 to 9 are for calibration, 100 to 109 another experiment's.
FIRST_SEED = 300
#: Of the patients that all networks answer for.
TEST_SEED = 299
RANDOM, PRIMARY = "random", "uncertainty_and_diversity"
STRATEGIES = (RANDOM, *RANKINGS)
METASTASIS = 1
RESAMPLES = 10_000


@dataclass(frozen=True)
class Protocol:
    """What is fixed before any replicate runs.

    pool_papers, test_papers: times the paper's 53, 64 and 65 lesions. start, per_round: patients. target_round: the one whose
    accuracy by random picking is to be reached; the later ones show what a strategy needs that is worse than random.
    """

    pool_papers: int = 2
    test_papers: int = 5
    start: int = 24
    per_round: int = 32
    rounds: int = 3
    target_round: int = 2
    augmentations: int = 1500
    steps: int = 300
    batch: int = 32
    learning_rate: float = 1e-2
    phantom: str = code_hash()


PROTOCOL = Protocol()
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--replicates", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="run nothing")
    asked = parser.parse_args()
    seeds = range(FIRST_SEED, FIRST_SEED + asked.replicates)
    missing = [] if asked.table else [seed for seed in seeds if read_replicate(asked.out, seed) is None]
    # Fresh processes: torch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(asked.jobs, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for running in as_completed([pool.submit(partial(run_replicate, asked.out), seed) for seed in missing]):
            print(f"cohort {running.result()} is finished", flush=True)
    found = [read_replicate(asked.out, int(path.stem.split("-")[1])) for path in sorted(asked.out.glob("replicate-*.json"))]
    rows = [row for row in found if row is not None]
    if len(rows) < 2:
        parser.error(f"{asked.out} holds {len(rows)} replicates; a table needs at least 2")
    text = table(rows)
    (asked.out / "table.md").write_text(text, encoding="utf-8")
    print(text)


def read_replicate(folder: Path, seed: int) -> Row | None:
    """A finished replicate, None where there is none. Raises SystemExit for one of another protocol."""
    try:
        row = json.loads((folder / f"replicate-{seed}.json").read_bytes())
    except FileNotFoundError:
        return None
    if row["protocol"] != asdict(PROTOCOL):
        raise SystemExit(f"{folder} holds replicates of another protocol. Give another --out.")
    return row


def run_replicate(folder: Path, seed: int) -> int:
    """Let every strategy read the pool of one seed, and write what its networks answered in each round."""
    cohort = make_cohort({name: PROTOCOL.pool_papers * n for name, n in PAPER_COUNTS.items()}, seed)
    test = test_patients(folder)
    refuse_leak(cohort.patients, test.patients)
    rois, test_rois = originals(cohort), originals(test)
    owner = np.array(cohort.patients)
    patients = list(dict.fromkeys(cohort.patients))
    start = [patients[i] for i in np.random.default_rng([seed, 0]).permutation(len(patients))[: PROTOCOL.start]]
    first = train(cohort, owner, start, seed, 0)
    curves: dict[str, list[Row]] = {}
    for strategy in STRATEGIES:
        network, read = first, list(start)
        curves[strategy] = [score(network, test_rois, test, cohort, owner, read)]
        for number in range(1, PROTOCOL.rounds + 1):
            seen = look(network, rois, owner, patients)
            read += pick(strategy, seen, read, np.random.default_rng([seed, number]))
            network = train(cohort, owner, read, seed, number)
            curves[strategy].append(score(network, test_rois, test, cohort, owner, read))
    content = {"seed": seed, "protocol": asdict(PROTOCOL), "torch": torch.__version__, "curves": curves}
    write_atomically(folder / f"replicate-{seed}.json", json.dumps(content, indent=1).encode())
    return seed


def test_patients(folder: Path) -> Cohort:
    """The lesions that all networks answer for, drawn once: half a minute."""
    path = folder / f"test-{TEST_SEED}.npz"
    if not path.exists():
        save_cohort(make_cohort({name: PROTOCOL.test_papers * n for name, n in PAPER_COUNTS.items()}, TEST_SEED), path)
    return load_cohort(path)


def train(cohort: Cohort, owner: NDArray[np.str_], read: Sequence[str], seed: int, number: int) -> PaperCNN:
    """The paper's network on the lesions of the patients read; in one round all strategies have the same initial weights."""
    curated = cohort.subset(np.flatnonzero(np.isin(owner, read)))
    images, labels = training_set(curated, PROTOCOL.augmentations, seed)
    config = ClassifierConfig(
        epochs=None,
        steps=PROTOCOL.steps,
        batch=PROTOCOL.batch,
        learning_rate=PROTOCOL.learning_rate,
        device="cpu",
        seed=1000 * seed + number,
    )
    return train_classifier(images, labels, config, n_classes=len(cohort.class_names)).network


def look(network: PaperCNN, rois: torch.Tensor, owner: NDArray[np.str_], patients: Sequence[str]) -> dict[str, Seen]:
    """What the network says of every patient's lesions, which the simulation knows without a reader."""
    with torch.inference_mode():
        features = network.features(rois)
        probabilities = network.head(features).double().softmax(dim=1).numpy()
    features = features.double().numpy()
    places = {patient: np.flatnonzero(owner == patient) for patient in patients}
    return {patient: Seen(features[at], probabilities[at], np.ones(len(at))) for patient, at in places.items()}


def pick(strategy: str, seen: dict[str, Seen], read: Sequence[str], rng: np.random.Generator) -> list[str]:
    """The patients to read next, one after the other as the server offers them: what was picked counts as known."""
    left = [patient for patient in seen if patient not in set(read)]
    if strategy == RANDOM:
        return [left[i] for i in rng.permutation(len(left))[: PROTOCOL.per_round]]
    picked: list[str] = []
    while len(picked) < PROTOCOL.per_round and left:
        known = [seen[patient] for patient in (*read, *picked)]
        values = RANKINGS[strategy]([seen[patient] for patient in left], known)
        picked.append(left.pop(int(values.argmax())))
    return picked


def score(
    network: PaperCNN, rois: torch.Tensor, test: Cohort, cohort: Cohort, owner: NDArray[np.str_], read: Sequence[str]
) -> Row:
    """How many lesions are curated, of which classes, and the confusion (true, predicted) over the test patients' lesions."""
    with torch.inference_mode():
        predicted = network(rois).argmax(dim=1).numpy()
    confusion = np.zeros((len(test.class_names),) * 2, dtype=int)
    np.add.at(confusion, (test.labels, predicted), 1)
    curated = cohort.subset(np.flatnonzero(np.isin(owner, read)))
    return {"patients": len(read), "lesions": len(curated), "classes": curated.counts(), "confusion": confusion.tolist()}


def accuracy(row: Row) -> float:
    return float(np.trace(row["confusion"]) / np.sum(row["confusion"]))


def called_benign(row: Row) -> float:
    """The share of metastases that are called something else."""
    of_metastases = np.array(row["confusion"][METASTASIS])
    return float(1 - of_metastases[METASTASIS] / of_metastases.sum())


def needed(lesions: NDArray[np.float64], accuracies: NDArray[np.float64], target: float) -> float:
    """The curated lesions at which a curve (rounds,), made monotone, reaches the target; infinite where it does not."""
    rising = isotonic_regression(accuracies).x
    if rising[-1] < target:
        return float("inf")
    at = int(np.argmax(rising >= target))
    if at == 0:
        return float(lesions[0])
    share = (target - rising[at - 1]) / (rising[at] - rising[at - 1])
    return float(lesions[at - 1] + share * (lesions[at] - lesions[at - 1]))


def ratio(lesions: dict[str, NDArray], accuracies: dict[str, NDArray], strategy: str, chosen: NDArray[np.intp]) -> float:
    """Lesions that the strategy needs for random picking's accuracy at the target, per lesion of random picking.

    lesions, accuracies: (replicates, rounds) of each strategy; the curves are means over the chosen replicates.
    """
    of_random = lesions[RANDOM][chosen].mean(axis=0)
    rising = isotonic_regression(accuracies[RANDOM][chosen].mean(axis=0)).x
    target = rising[PROTOCOL.target_round]
    least = needed(of_random, rising, target)
    return needed(lesions[strategy][chosen].mean(axis=0), accuracies[strategy][chosen].mean(axis=0), target) / least


def table(rows: Sequence[Row]) -> str:
    """Learning curves, and the primary and secondary comparisons, as Markdown."""
    lesions, accuracies, missed = ({s: _grid(rows, s, what) for s in STRATEGIES} for what in (_lesions, accuracy, called_benign))
    rng = np.random.default_rng(0)
    samples = rng.integers(0, len(rows), size=(RESAMPLES, len(rows)))
    seeds = f"{rows[0]['seed']} to {rows[-1]['seed']}"
    lines = [f"{len(rows)} replicates, seeds {seeds}; torch {rows[0]['torch']}", ""]
    lines += ["| patients read | " + " | ".join(STRATEGIES) + " |", "| --- |" + " --- |" * len(STRATEGIES)]
    for number in range(PROTOCOL.rounds + 1):
        cells = [
            f"{_interval(accuracies[s][:, number], 100)} % at {lesions[s][:, number].mean():.0f} lesions" for s in STRATEGIES
        ]
        lines.append(f"| {rows[0]['curves'][RANDOM][number]['patients']} | {' | '.join(cells)} |")
    at = PROTOCOL.target_round
    lines += [
        "",
        "| strategy | lesions needed / random picking's | accuracy less random picking's, points | p | metastases missed |",
        "| --- | --- | --- | --- | --- |",
        f"| {RANDOM} | 1 | | | {_interval(missed[RANDOM][:, at], 100)} % |",
    ]
    for strategy in STRATEGIES[1:]:
        found = ratio(lesions, accuracies, strategy, np.arange(len(rows)))
        drawn = np.array([ratio(lesions, accuracies, strategy, chosen) for chosen in samples])
        low, high = np.quantile(drawn, [0.025, 0.975], method="nearest")
        points = 100 * (accuracies[strategy][:, at] - accuracies[RANDOM][:, at])
        kind = "primary" if strategy == PRIMARY else "secondary"
        lines.append(
            f"| {strategy} ({kind}) | {_ratio(found)} [{_ratio(low)}, {_ratio(high)}] | {_interval(points, 1, '+')} | "
            f"{sign_flip(points, np.random.default_rng(0)):.3f} | {_interval(missed[strategy][:, at], 100)} % |"
        )
    most = lesions[RANDOM][:, -1].mean() / lesions[RANDOM][:, at].mean()
    lines += ["", f"Ratios above about {most:.2f} were not looked at: 'not reached' within the last round."]
    return "\n".join(lines) + "\n"


def _lesions(row: Row) -> float:
    return row["lesions"]


def _grid(rows: Sequence[Row], strategy: str, what: Any) -> NDArray[np.float64]:
    return np.array([[what(entry) for entry in row["curves"][strategy]] for row in rows], dtype=np.float64)


def _ratio(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "not reached"


def _interval(values: NDArray[np.float64], scale: float, sign: str = "") -> str:
    """Mean with the 95 % interval of Student's t over replicates."""
    mean, error = values.mean(), values.std(ddof=1) / np.sqrt(len(values)) * student.ppf(0.975, len(values) - 1)
    low, middle, high = (f"{scale * x:{sign}.1f}" for x in (mean - error, mean, mean + error))
    return f"{middle} [{low}, {high}]"


if __name__ == "__main__":
    main()
