"""A real MLflow on SQLite is told of versions; what it says decides nothing."""

import warnings

import pytest

from lesionlabel.registry.mlflow_index import index_uri, stamp, tell_mlflow
from lesionlabel.registry.versions import Versions

INTERVAL = {"value": 0.8, "low": 0.7, "high": 0.9, "of": 30}


@pytest.fixture
def client(settings):
    """MLflow's own client on the index, whose libraries warn of themselves at import."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tell_mlflow(settings)
        from mlflow import MlflowClient

        yield MlflowClient(tracking_uri=index_uri(settings), registry_uri=index_uri(settings))


def test_every_version_is_there_with_its_files_figures_and_aliases(settings, network_of, manifest_of, store, client, tmp_path):
    versions = Versions(settings)
    first, second = "20260101T000000Z-aaaaaaaa", "20260102T000000Z-bbbbbbbb"
    for seed, version in enumerate((first, second)):
        figures = {"headline": {"accuracy": INTERVAL, "confusion": [[1]]}}
        versions.add(network_of(seed), manifest_of(version, evaluation=figures, parents=("gan_cyst/x",)), "How it did.")
    versions.promote(first, "an admin", "the first")
    store()
    before = stamp(settings)
    assert tell_mlflow(settings) == 3
    assert tell_mlflow(settings) == 0

    champion = client.get_model_version_by_alias("lesion_classifier", "champion")
    candidate = client.get_model_version_by_alias("lesion_classifier", "candidate")
    assert (champion.tags["lesionlabel.version"], candidate.tags["lesionlabel.version"]) == (first, second)
    assert (champion.tags["state"], candidate.tags["state"]) == ("serves", "candidate")
    assert "How it did." in champion.description
    run = client.get_run(champion.run_id)
    assert run.data.metrics["accuracy"] == 0.8
    assert run.data.metrics["accuracy_low"] == 0.7
    assert run.data.params["parents"] == "gan_cyst/x"
    files = {
        file.path for folder in ("", "/models", "/docs") for file in client.list_artifacts(run.info.run_id, f"bundle{folder}")
    }
    assert {"bundle/manifest.json", "bundle/models/model.safetensors", "bundle/docs/README.md"} <= files
    # Weights come out of MLflow as they went in, and load.
    folder = client.download_artifacts(run.info.run_id, "bundle", str(tmp_path))
    assert versions.load(type(tmp_path)(folder)).version == first
    assert client.get_model_version_by_alias("gan_cyst", "candidate").tags["model"] == "gan_cyst"

    # An alias that somebody moves there changes nothing that serves, and the next telling moves it back.
    client.set_registered_model_alias("lesion_classifier", "champion", candidate.version)
    assert versions.champion().version == first
    assert stamp(settings) == before
    versions.promote(second, "an admin", "better", override=True)
    assert stamp(settings) != before
    tell_mlflow(settings)
    assert client.get_model_version_by_alias("lesion_classifier", "champion").tags["lesionlabel.version"] == second
    assert "candidate" not in client.get_registered_model("lesion_classifier").aliases


def test_without_versions_there_is_nothing_to_tell(settings, client):
    assert tell_mlflow(settings) == 0
    assert client.search_registered_models() == []
