import base64
import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lesionlabel.evaluation.crossval import decided_blind, headline_lesions
from lesionlabel.evaluation.report import PHANTOM_SENTENCE
from lesionlabel.experiment.analysis import analyse
from lesionlabel.experiment.findings import Findings
from lesionlabel.experiment.outcomes import FoldGenerators, Outcomes, Size
from lesionlabel.experiment.page import Table, to_html, to_markdown
from lesionlabel.experiment.plan import ARMS, NOT_TRAINED, Plan, Profile, Schedule
from lesionlabel.experiment.report import write_report
from lesionlabel.experiment.report_figures import feature_maps
from lesionlabel.imaging.synthetic_pixels import word
from lesionlabel.lesions.classes import DEFAULT_CLASSES, ClassList, LesionClass
from lesionlabel.lesions.cohort import Cohort, CohortLesion
from lesionlabel.lesions.lesion import Proof
from lesionlabel.lesions.roi import Context, context_half_width

PROFILE = Profile("tiny", 2, (0, 500), (300,), 500, 300, 4, 100, 4e-3, 64, 16, 20, 500, 1, 90, reduced=("2 seeds instead of 5",))
ODD = ClassList(
    tuple(
        LesionClass(name, str(number), name, benign, (9, 9, 9))
        for number, (name, benign) in enumerate(
            [("<b>FNH</b> / ad & c", True), ("_met|astasis_", False), ('"$x^$ -- y"', True), ("*HCC* [a](http://b.c)", False)]
        )
    )
)
FIGURE = {"value": 0.1, "low": 0.05, "high": 0.2, "of": 9.0}


def lesion_of(number: int, name: str, patient: str, saw_model: bool) -> CohortLesion:
    rng = np.random.default_rng(number)
    half = context_half_width(12.0)
    hu = 100 + 20 * rng.standard_normal((2 * half + 1, 2 * half + 1))
    context = Context(hu.astype(np.float32), (float(half), float(half)), 12.0, 0.75)
    return CohortLesion(f"lesion-{number}", patient, name, context, Proof.PATHOLOGY, saw_model)


def made_up(
    classes: ClassList = DEFAULT_CLASSES,
    prefix: str = "phantom-",
    arms: Sequence[str] = tuple(ARMS),
    schedules: Sequence[Schedule] = ("steps", "epochs"),
    seeds: int = 2,
    lesions: int = 36,
    measured: bool = True,
) -> Outcomes:
    """Random answers, better than chance, to a cohort in which one patient has seven lesions and one lesion is not tested."""
    rng = np.random.default_rng(5)
    names, simulated = tuple(classes.names), prefix == "phantom-"
    owners = [0] * 7 + list(range(1, lesions - 6))
    cohort = Cohort(
        tuple(lesion_of(i, names[i % len(names)], f"{prefix}{owners[i]}", i == lesions - 1) for i in range(lesions)), names
    )
    profile = replace(PROFILE, seeds=seeds, schedules=tuple(schedules))
    plan = Plan(
        profile,
        profile.points(arms, simulated),
        tuple(range(seeds)),
        cohort.digest,
        names,
        simulated,
        "0.1+abc",
        "cpu",
        "2.13.0",
        ("sharp", "calibrated") if simulated else None,
    )
    folds = np.array([[(owner + seed) % 3 for owner in owners] for seed in range(seeds)])
    logits: dict[Any, Any] = {}
    for point in plan.points:
        for schedule in ("steps",) if point.arm in NOT_TRAINED else schedules:
            noise = rng.standard_normal((seeds, lesions, len(names)))
            logits[schedule, point] = 1.5 * np.eye(len(names))[cohort.labels] + noise
    fresh = {key: rng.uniform(0.6, 0.9, (seeds, 3)) for key in logits if simulated and key[1].arm not in NOT_TRAINED}
    quality = {"figures": {name: {"generator": FIGURE, "floor": FIGURE} for name in ("kid", "precision", "recall", "coverage")}}
    check = {"outcome": "cannot be tested", "reason": "Too few.", "copy_rate": None, "excess_lower_bound": None}
    check |= {"most_attracting": {"lesion_id": "lesion-1", "share": 0.2, "limit": 0.3}, "controls": None}
    networks = [network for network in ("dcgan", "acgan", "modern") if network in arms]
    return Outcomes(
        cohort=cohort,
        plan=plan,
        folds=folds,
        logits=logits,
        fresh=fresh,
        features={p: rng.standard_normal((lesions, 16)) + cohort.labels[:, None] for p in plan.shown if p in plan.points},
        sizes={key: Size(1624.0 + number, 100.0, 4.5) for number, key in enumerate(logits) if key[1].arm not in NOT_TRAINED},
        generators=[
            FoldGenerators(
                network,
                0,
                fold,
                ("phantom-1",),
                {name: rng.random((8, 64, 64), dtype=np.float32) for name in names},
                12.0,
                dict.fromkeys(names, 0.4),
                dict.fromkeys(names, quality) if measured else None,
                dict.fromkeys(names, check) if measured else None,
                {"auc": FIGURE, "leaks": False} if measured else None,
            )
            for network in networks
            for fold in range(3)
        ],
        tested=headline_lesions(cohort),
        decided_blind=decided_blind(cohort),
        seconds={"training": 3700.0, "images": 12.3},
        wall_seconds=95.0,
        warnings=("A patient has <7> lesions.",),
    )


class Seen(HTMLParser):
    """What a browser would make of a page: its tags with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def written(outcomes: Outcomes, classes: ClassList, folder: Path) -> tuple[Findings, dict[str, str]]:
    findings = analyse(outcomes, classes, 0)
    write_report(outcomes, findings, classes, folder)
    return findings, {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A report on everything that can be run: outcomes, findings and the files' texts."""
    outcomes = made_up()
    return outcomes, *written(outcomes, DEFAULT_CLASSES, tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A report on patients' lesions of four classes with strange names, one seed, and few arms."""
    outcomes = made_up(ODD, "p-", ("classic", "dcgan", "words"), ("steps",), seeds=1, lesions=41)
    return outcomes, *written(outcomes, ODD, tmp_path_factory.mktemp("odd"))


def test_the_verdict_stands_in_every_form_of_the_report(full):
    _, findings, files = full
    assert findings.verdict in Seen(files["report.html"]).text
    assert findings.verdict in files["report.md"]
    assert json.loads(files["results.json"])["verdict"] == findings.verdict


def test_a_phantom_report_says_that_it_says_nothing_about_patients_and_no_other_does(full, odd):
    _, _, files = full
    assert all(PHANTOM_SENTENCE in files[name] for name in ("report.html", "report.md", "results.json"))
    _, _, files = odd
    assert not any("simulated lesions" in files[name] for name in ("report.html", "report.md", "results.json"))
    assert "It shows ROIs of patients" in files["report.html"]
    assert "HOLDS" not in files["report.html"]


def test_the_page_loads_nothing_and_every_picture_has_a_text(full, odd):
    for _, _, files in (full, odd):
        tags = Seen(files["report.html"]).tags
        links = [value for _, attrs in tags for name, value in attrs.items() if name in ("src", "href", "srcset", "data")]
        assert links
        assert all(link is not None and link.startswith(("data:image/", "#")) for link in links)
        assert not {"script", "link", "iframe", "object", "embed"} & {tag for tag, _ in tags}
        assert not re.search(r"url\(|@import", files["report.html"])
        images = [attrs for tag, attrs in tags if tag == "img"]
        assert len(images) > 6
        assert all(len(str(attrs.get("alt"))) > 10 for attrs in images)


def test_names_from_a_cohort_are_text_and_never_markup(odd):
    _, _, files = odd
    page = Seen(files["report.html"])
    assert not {"b", "a"} & {tag for tag, attrs in page.tags if tag != "a" or not str(attrs["href"]).startswith("#")}
    assert all(name in page.text for name in ODD.names)
    # In Markdown, no tag, no cell border and no link.
    text = files["report.md"]
    assert "&lt;b&gt;FNH&lt;/b&gt; / ad &amp; c" in text
    assert not re.search(r"<(?!br>)", text)
    assert "](http" not in text
    for table in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE):
        rows = [len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()]
        assert len(set(rows)) == 1, table


def test_the_answers_recompute_every_accuracy_as_reported(full):
    outcomes, findings, files = full
    rows = list(csv.DictReader(files["results.csv"].splitlines()))
    assert len(rows) == len(findings.figures) * 2 * len(outcomes.cohort)
    for figures in findings.figures:
        key = [figures.schedule, figures.point.arm, str(figures.point.classic), str(figures.point.added)]
        mine = [row for row in rows if [row[name] for name in ("schedule", "arm", "classic", "added")] == key]
        weights = np.array([float(row["weight"]) for row in mine])
        right = np.array([row["true"] == row["predicted"] for row in mine])
        assert weights @ right / weights.sum() == pytest.approx(figures.accuracy.value, abs=1e-5)
    untested = [row for row in rows if row["lesion"] == "lesion-35"]
    assert {(row["tested"], row["weight"]) for row in untested} == {("0", "0")}
    assert all(abs(sum(float(row[f"p {name}"]) for name in DEFAULT_CLASSES.names) - 1) < 1e-4 for row in rows)


def test_the_same_input_gives_the_same_bytes(odd, tmp_path):
    outcomes, findings, files = odd
    write_report(outcomes, findings, ODD, tmp_path)
    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == files


def test_whatever_has_an_accuracy_has_malignant_called_benign_beside_it(full):
    _, _, files = full
    heads = [line for line, below in pairwise(files["report.md"].splitlines()) if below.startswith("| ---")]
    told = [head for head in heads if "accuracy" in head]
    assert len(told) >= 8
    assert all("malignant called benign" in head for head in told)


def test_what_the_figures_rest_on_is_said(full):
    outcomes, _, files = full
    text = files["report.md"]
    assert "Folds share training data" in text
    assert "“fixed” beforehand, never “nested”" in text
    assert "2 seeds instead of 5" in text
    assert "optimistic" in text
    assert outcomes.cohort.digest in text
    assert "A patient has &lt;7&gt; lesions." in text
    assert "1 h 01 min" in text
    assert "“Cannot be tested” is not “passed”" in text
    assert "78.6 %" in text
    assert "71.4 % \\*" in text


def test_pictures_of_generators_are_marked_in_their_pixels_and_their_captions(full):
    _, _, files = full
    images = [attrs for tag, attrs in Seen(files["report.html"]).tags if tag == "img" and "SYNTHETIC" in str(attrs["alt"])]
    assert len(images) == 9
    for attrs in images:
        with Image.open(io.BytesIO(base64.b64decode(str(attrs["src"]).split(",")[1]))) as picture:
            assert picture.info["Comment"].startswith("SYNTHETIC")
            grey = np.asarray(picture)
        letters = 255 * word(2)
        for left in range(0, grey.shape[1], 2 * 64 + 4):
            assert np.array_equal(grey[: letters.shape[0], left : left + letters.shape[1]], letters)


def test_errors_show_the_lesions_that_the_primary_arms_most_often_get_wrong(full):
    outcomes, findings, files = full
    keys = [("steps", point) for point in outcomes.plan.profile.primary]
    wrong = np.sum([(~f.right).sum(axis=0) for f in findings.figures if (f.schedule, f.point) in keys], axis=0)
    worst = int(np.argmax(wrong))
    lesion = outcomes.cohort.lesions[np.flatnonzero(outcomes.tested)[worst]]
    caption = files["report.md"].split("Lesions most often wrong")[1].split("Picture, in report.html:")[1]
    assert f"{lesion.label}, wrong in {wrong[worst]} of 4" in caption
    assert f"lesion {lesion.lesion_id} " in caption
    assert lesion.patient in caption


def test_what_was_not_run_is_said(odd, tmp_path):
    _, findings, files = odd
    assert findings.primary is None
    text = files["report.md"]
    assert "It was not run, so there is no verdict on it." in text
    assert "one seed" in text
    assert "not run" in text
    bare = made_up(arms=("classic",), seeds=1, measured=False)
    _, files = written(replace(bare, features={}, warnings=()), DEFAULT_CLASSES, tmp_path / "classic")
    assert "No arm of this run has a generator." in files["report.md"]
    assert "No map of features" in files["report.md"]
    unmeasured = made_up(arms=("dcgan",), schedules=("epochs",), seeds=1, measured=False)
    _, files = written(unmeasured, DEFAULT_CLASSES, tmp_path / "dcgan")
    assert "nothing can be said of either" in files["report.md"]
    _, files = written(made_up(arms=("mean", "words")), DEFAULT_CLASSES, tmp_path / "baselines")
    assert "No network was trained" in files["report.md"]
    assert "nothing to choose" in files["report.md"]


def test_too_few_lesions_make_no_map():
    outcomes = made_up(arms=("classic",))
    assert feature_maps(outcomes) is not None
    few = np.zeros(len(outcomes.cohort), dtype=bool)
    few[:9] = True
    assert feature_maps(replace(outcomes, tested=few)) is None


def test_the_sizes_of_what_was_trained_are_shown(full):
    outcomes, _, files = full
    (number, key), *_ = [(n, k) for n, k in enumerate(outcomes.logits) if k[0] == "epochs" and k[1].key == "dcgan-500-300"]
    shown = f"| {key[1].title} | {1624 + number} | 100 | 4.5 |"
    assert shown in files["report.md"]
    alone = [line for line in files["report.md"].splitlines() if line.startswith("| words |")]
    assert alone
    assert "nan" not in "".join(alone)


def test_a_table_is_the_same_in_both_forms():
    table = Table("A <caption>", ["a", "b\nc"], [["1 | 2", "x\ny"]], marked=frozenset({0}), note="n")
    assert "A &lt;caption&gt;" in to_html("t", [table])
    assert "b<br>c" in to_html("t", [table])
    assert "| a | b<br>c |\n| --- | ---: |\n| **1 \\| 2** | x<br>y |" in to_markdown("t", [table])
