import json
import multiprocessing
import resource
from dataclasses import replace

import numpy as np
import pytest

from lesionlabel.augment.classic import originals
from lesionlabel.experiment.collect import collect
from lesionlabel.experiment.plan import ARMS, NOT_TRAINED, Point, Profile
from lesionlabel.experiment.pools import SEEDS, make_pool, phantom_of, read_pool
from lesionlabel.experiment.profiles import PROFILES, make_plan
from lesionlabel.experiment.run import run_tasks
from lesionlabel.experiment.sets import cut_fold
from lesionlabel.experiment.tasks import Task, Work, all_tasks, needs, run_task, training_of
from lesionlabel.lesions.cohort import save_cohort
from lesionlabel.lesions.errors import InputError, IntegrityError, LeakError
from lesionlabel.phantom.cohort import make_cohort
from lesionlabel.phantom.parameters import VARIANTS
from lesionlabel.settings import Settings
from lesionlabel.training.hooks import StoppedError

NAMES = ("cyst", "metastasis", "hemangioma")
TINY = Profile(
    name="tiny",
    seeds=1,
    classic=(0, 6),
    added=(6,),
    fixed_classic=6,
    fixed_added=6,
    epochs=1,
    steps=3,
    learning_rate=1e-3,
    batch=16,
    width=16,
    gan_steps=2,
    gan_amount=30,
    measured_seeds=0,
    fresh=12,
)


@pytest.fixture(scope="module")
def cohort():
    # Enough patients of each class for a generator.
    return make_cohort(dict.fromkeys(NAMES, 21), seed=5)


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path / "home", device="cpu")


def plan_of(cohort, arms=tuple(ARMS), profile=TINY):
    return replace(make_plan(cohort, "quick", arms, 1), profile=profile, points=profile.points(arms, drawn=True))


@pytest.fixture
def work(cohort, settings, tmp_path):
    folder = tmp_path / "experiment"
    return Work(cohort, plan_of(cohort), settings.model_copy(update={"home": folder / "work"}), folder)


def test_every_arm_answers_for_every_lesion_from_networks_that_had_not_seen_its_patient(work, cohort):
    told = []
    tasks = all_tasks(work.plan)
    # Stopped in the middle: the rest is done later, and what was finished is not touched again.
    with pytest.raises(StoppedError, match="same command with --resume goes on"):
        run_tasks(work, 2, lambda task, done, of, left: told.append(task), should_stop=lambda: len(told) >= 12)
    finished = {task: (work.folder / task.path).stat().st_mtime_ns for task in tasks if (work.folder / task.path).exists()}
    assert 12 <= len(finished) < len(tasks)
    run_tasks(work, 2, lambda task, done, of, left: told.append(task))
    assert {task: (work.folder / task.path).stat().st_mtime_ns for task in finished} == finished
    assert set(told) == set(tasks)

    outcomes = collect(work, 1.0, ("a note",))
    for (schedule, point), logits in outcomes.logits.items():
        assert logits.shape == (1, len(cohort), 3), (schedule, point)
        assert np.isfinite(logits).all()
    trained = [point for point in work.plan.points if point.arm not in NOT_TRAINED]
    assert {point for schedule, point in outcomes.logits if schedule == "epochs"} == set(trained)
    assert {point.arm for schedule, point in outcomes.logits if schedule == "steps"} == set(ARMS)
    assert all(0 <= share <= 1 for found in outcomes.fresh.values() for share in found.ravel())
    assert len(outcomes.features) == 2
    # As many images and steps for every arm that adds: nothing but what they show differs. The filter may leave a class empty.
    added = {
        point: size for (schedule, point), size in outcomes.sizes.items() if schedule == "steps" and point.classic and point.added
    }
    equal = {(size.images, size.steps) for point, size in added.items() if point.arm != "filtered"}
    assert len(equal) == 1
    assert max(size.images for size in added.values()) == next(iter(equal))[0]
    for made in outcomes.generators:
        test = {cohort.patients[i] for i in np.flatnonzero(outcomes.folds[0] == made.fold)}
        assert made.patients
        assert not test & set(made.patients)

    # What a generator that makes one picture only brought to the arms is not hidden.
    [first] = [t for t in tasks if t.kind == "generators" and t.network == "dcgan" and t.fold == 0]
    record = work.folder / first.path
    content = json.loads(record.read_bytes())
    record.write_text(json.dumps({**content, "diversity": {"cyst": 0.01, "metastasis": 0.9, "hemangioma": 0.9}}))
    assert any("dcgan in seed 0, fold 1: cyst 1%" in warning for warning in collect(work, 1.0, ()).warnings)
    record.write_text(json.dumps(content))

    checks = {name: {"outcome": "unfit" if name == "cyst" else "fit"} for name in NAMES}
    record.write_text(json.dumps({**content, "memorisation": checks, "quality": {}, "membership": {"leaks": False}}))
    [warning] = [one for one in collect(work, 1.0, ()).warnings if "would not be let through" in one]
    assert "dcgan in seed 0, fold 1: cyst." in warning
    assert "8 of 9 folds' generators were not measured" in warning
    record.write_text(json.dumps(content))

    # Its generators said to have seen a patient of the test: no arm takes their images, and no report shows them.
    seen = cohort.patients[int(np.flatnonzero(outcomes.folds[0] == 0)[0])]
    record.write_text(json.dumps({**content, "patients": [*content["patients"], seen]}))
    answer = Task("answers", 0, 0, schedule="steps", point=Point("dcgan", 6, 6))
    with pytest.raises(LeakError, match=seen):
        run_task(work, answer)
    with pytest.raises(LeakError, match=seen):
        collect(work, 1.0, ())
    record.write_bytes(json.dumps(content).encode())

    (work.folder / answer.path).write_bytes(b"half of it")
    with pytest.raises(IntegrityError, match=r"dcgan-6-6-s0-f0\.npz is missing or damaged"):
        collect(work, 1.0, ())


def test_an_answer_is_the_same_wherever_it_is_computed(work):
    task = Task("answers", 0, 1, schedule="steps", point=Point("classic", 6))
    run_task(work, Task("pool", pool="fresh"))
    run_task(work, task)
    first = (work.folder / task.path).read_bytes()
    again = replace(work, folder=work.folder.parent / "again")
    run_task(again, Task("pool", pool="fresh"))
    run_task(again, task)
    with np.load(work.folder / task.path) as one, np.load(again.folder / task.path) as other:
        assert first
        np.testing.assert_array_equal(one["logits"], other["logits"])


def test_a_folder_that_was_cut_short_is_taken_up_and_one_of_another_experiment_or_damaged_is_left_alone(work, cohort):
    mean = replace(work, plan=plan_of(cohort, ("mean",)))
    # Ended between its first file and its second.
    save_cohort(cohort, work.folder / "cohort.npz")
    run_tasks(mean, 1, lambda *_: None)
    with pytest.raises(InputError, match=r"holds another experiment: it differs in points"):
        run_tasks(work, 1, lambda *_: None)
    (work.folder / "plan.json").write_text("{ half")
    with pytest.raises(IntegrityError, match=r"plan\.json is missing or damaged"):
        run_tasks(mean, 1, lambda *_: None)
    (work.folder.parent / "full").mkdir()
    (work.folder.parent / "full" / "thesis.txt").write_text("do not touch")
    with pytest.raises(InputError, match="holds no experiment"):
        run_tasks(replace(work, folder=work.folder.parent / "full"), 1, lambda *_: None)


def test_every_task_comes_after_what_it_needs_and_has_a_file_of_its_own(cohort):
    plan = make_plan(cohort, "paper", tuple(ARMS), None)
    tasks = all_tasks(plan)
    known = set(tasks)
    assert all(set(needs(task, plan)) <= known for task in tasks)
    assert len({task.path for task in tasks}) == len(tasks)


def test_the_paper_profile_is_the_papers_and_the_hypothesis_is_fixed():
    paper = PROFILES["paper"]
    assert paper.classic == (0, 500, 1000, 2000, 3000, 5000, 7500, 10000, 15000)
    assert paper.added == (300, 1500, 3000, 6000, 9000, 12000)
    assert (paper.epochs, paper.steps, paper.width, paper.gan_steps) == (150, 37_800, 1024, None)
    assert paper.seeds >= 5
    assert not paper.reduced
    assert paper.primary == (Point("dcgan", 5000, 3000), Point("duplicates", 5000, 3000))


def test_an_arm_that_is_not_known_is_refused_and_patients_have_no_oracle(cohort):
    with pytest.raises(InputError, match=r"Unknown arm 'gan'\. Allowed: classic, duplicates"):
        make_plan(cohort, "quick", ("gan",), None)
    patients = replace(
        cohort, lesions=tuple(replace(lesion, patient=lesion.patient.removeprefix("phantom-")) for lesion in cohort)
    )
    plan = make_plan(patients, "quick", tuple(ARMS), None)
    assert not any(point.arm == "oracle" for point in plan.points)
    assert not any(task.kind == "pool" for task in all_tasks(plan))
    # The filter's classifier is trained though nobody asked for the arm, and no augmentation stands beside every network.
    assert {Point("classic"), Point("classic", 500)} <= set(make_plan(cohort, "quick", ("filtered",), None).points)
    assert make_plan(cohort, "quick", ("mean",), None).points == (Point("mean"),)
    with pytest.raises(InputError, match="has an oracle"):
        make_plan(patients, "quick", ("oracle",), None)


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of another process can be set on Linux only")
def test_a_process_ended_from_outside_or_a_disk_without_room_is_told_and_the_run_goes_on(work, cohort):
    small = replace(work, plan=plan_of(cohort, ("mean", "diameter")))

    def finished():
        return {path: path.stat().st_mtime_ns for path in small.folder.rglob("*-f*.npz")}

    def end(task, done, of, left):
        for process in multiprocessing.active_children():
            process.kill()

    with pytest.raises(StoppedError, match=r"ended from outside.*--resume"):
        run_tasks(small, 1, end)
    first = finished()
    assert first

    def fill_the_disk(task, done, of, left):
        # No file may grow beyond this: what the system says of it is what it says of a full disk, but for the number.
        for process in multiprocessing.active_children():
            assert process.pid is not None
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))

    with pytest.raises(StoppedError, match="Make room, then go on with --resume"):
        run_tasks(small, 1, fill_the_disk)
    second = finished()
    assert len(first) < len(second) < len(all_tasks(small.plan))
    assert {path: second[path] for path in first} == first
    told = []
    run_tasks(small, 1, lambda task, *_: told.append(task))
    assert len(told) == len(all_tasks(small.plan)) - len(second)
    assert {path: finished()[path] for path in second} == second


def test_a_training_that_diverges_is_left_out_and_named_and_the_rest_is_reported(cohort, settings, tmp_path):
    plan = plan_of(cohort, ("classic", "mean"), replace(TINY, learning_rate=1e30, schedules=("steps",)))
    work = Work(cohort, plan, settings, tmp_path / "out")
    run_tasks(work, 1, lambda *_: None)
    outcomes = collect(work, 1.0, ())
    assert {point.arm for _, point in outcomes.logits} == {"mean"}
    assert any(
        warning.startswith("none by steps is left out: it did not finish in seed 0, fold 1.") for warning in outcomes.warnings
    )
    # Known beforehand, what needs it is not tried.
    filtered = Task("answers", 0, 0, schedule="steps", point=Point("filtered", 6, 6))
    run_task(work, filtered)
    assert "did not finish" in (work.folder / filtered.failure).read_text()


@pytest.mark.parametrize(("preset", "variant"), [("sharp", "calibrated"), ("soft", "calibrated"), ("sharp", "harder")])
def test_fresh_lesions_are_of_the_phantom_that_drew_the_cohort(preset, variant, tmp_path):
    cohort = make_cohort(dict.fromkeys(NAMES, 4), 3, preset, VARIANTS[variant])
    assert phantom_of(cohort) == (preset, variant)
    make_pool("fresh", cohort, (preset, variant), 9, 0, tmp_path / "fresh.npz")
    images, labels = read_pool(tmp_path / "fresh.npz")
    same = make_cohort(dict.fromkeys(NAMES, 3), SEEDS["fresh"], preset, VARIANTS[variant])
    np.testing.assert_allclose(images.numpy(), originals(same).numpy(), atol=1e-3)
    assert labels.tolist() == same.labels.tolist()
    # Of lesions that only look like a phantom's nothing is known.
    turned = tuple(replace(x, context=replace(x.context, hu=np.ascontiguousarray(x.context.hu.T))) for x in cohort)
    assert phantom_of(replace(cohort, lesions=turned)) is None
    assert phantom_of(replace(cohort, lesions=tuple(replace(x, lesion_id=f"ct-{x.lesion_id}") for x in cohort))) is None


def test_networks_of_all_arms_start_alike(cohort):
    plan = plan_of(cohort)
    fold = cut_fold(cohort, 3, 0, 1, 6)
    answers = [t for t in all_tasks(plan) if t.point is not None and t.point.arm not in NOT_TRAINED and t.schedule == "steps"]
    configs = {training_of(plan, task, fold, "cpu") for task in answers}
    assert len(configs) == 1
    assert training_of(plan, answers[0], cut_fold(cohort, 3, 1, 1, 6), "cpu") not in configs
