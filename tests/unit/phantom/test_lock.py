"""The lock: nobody changes the phantom by accident."""

from dataclasses import asdict

from lesionlabel.phantom.lock import code_hash, read_lock
from lesionlabel.phantom.parameters import VARIANTS


def test_the_phantom_is_the_locked_one():
    lock = read_lock()
    assert lock["code_sha256"] == code_hash(), (
        "The phantom's code changed. If that is wanted, calibrate again and run python benchmarks/calibrate_phantom.py --lock"
    )
    for name, parameters in VARIANTS.items():
        expected = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(parameters).items()}
        assert lock["parameters"][name] == expected


def test_the_lock_says_what_was_fixed_before_and_what_was_reduced():
    lock = read_lock()
    assert lock["network"]["momentum"] == 0.9
    assert "duplicates" in lock["primary_hypothesis"]
    assert lock["parameter_trials"] >= 1
    runs = lock["calibration"]["runs"]
    assert {arm for run in runs for arm in run["results"]} >= {"none", "classic5000"}
    complete = any(not run["reduced"] for run in runs)
    assert lock["calibration"]["status"] == ("complete" if complete else "preliminary")
