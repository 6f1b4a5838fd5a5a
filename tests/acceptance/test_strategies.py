"""Next Sample of 3D Slicer's stock client, with the strategies that ask the model."""

import time
from pathlib import Path

import pytest

from lesionlabel.strategies.ranking import RANKINGS

pytestmark = [
    pytest.mark.acceptance,
    # The stock client leaves its connections to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_every_strategy_that_slicer_lists_gives_an_unlabelled_volume_at_once(client):
    listed = client.info()["strategies"]
    assert set(RANKINGS) <= set(listed)
    for name in RANKINGS:
        assert not listed[name].get("config")
        sample = client.next_sample(name, {"client_id": "reader-1"})
        assert Path(sample["path"]).name == sample["name"] == f"{sample['id']}.nii.gz"
        assert "scored so far" in sample["said"]


def test_volumes_are_scored_in_the_background_and_two_readers_get_two_of_them(client):
    end = time.monotonic() + 300
    while (sample := client.next_sample("uncertainty", {}))["unscored"] and time.monotonic() < end:
        time.sleep(0.5)
    assert sample["unscored"] == 0
    assert 0 <= sample["value"] <= 1
    assert sample["candidates"] >= 1
    assert client.next_sample("diversity", {})["id"] != sample["id"]
