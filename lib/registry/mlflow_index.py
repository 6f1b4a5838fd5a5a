"""The registry as MLflow shows it: every version with its files and figures, aliases champion and candidate.

What serves is decided by the gate and kept beside the versions, where a promotion is one atomic write and a click needs no
database. MLflow is told of it: whoever moves an alias there changes nothing that serves, and the next telling moves it back.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from lesionlabel import NOT_FOR_CLINICAL_USE
from lesionlabel.lesions.errors import IntegrityError
from lesionlabel.registry.generators import GeneratorVersions, generator_names
from lesionlabel.registry.version_store import VersionInfo, VersionStore
from lesionlabel.registry.versions import Versions
from lesionlabel.settings import Settings

EXPERIMENT = "LesionLabel"
CLASSIFIER = "lesion_classifier"
#: The tag by which a version is known again.
VERSION_TAG = "lesionlabel.version"
CHAMPION, CANDIDATE = "champion", "candidate"
#: Most parameters have values of a few letters; MLflow refuses long ones.
MOST_LETTERS = 500


def index_uri(settings: Settings) -> str:
    """The configured MLflow server, else a SQLite file under home."""
    return settings.mlflow_uri or f"sqlite:///{settings.home.resolve() / 'mlflow.sqlite'}"


def ui_command(settings: Settings) -> str:
    """What opens MLflow's own pages on the index."""
    return f"mlflow ui --backend-store-uri {index_uri(settings)}"


def stamp(settings: Settings) -> tuple[Any, ...]:
    """Changes whenever there is something to tell MLflow. Cheap: no file of a version is read."""
    found = []
    for name, versions in _stores(settings):
        names = tuple(sorted(path.name for path in versions.folder.glob("[!.]*")))
        files = [path for path in versions.folder.glob("*.json*") if path.is_file()]
        found.append((name, names, tuple(sorted((path.name, path.stat().st_mtime_ns) for path in files))))
    return tuple(found)


def tell_mlflow(settings: Settings) -> int:
    """Bring MLflow up to date and return how many versions were new to it. Done twice, nothing changes.

    Raises what MLflow raises when its server or file cannot be reached.
    """
    # Nothing is told to anyone outside, and what it prints of its own database is of no use.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    settings.home.mkdir(parents=True, exist_ok=True)
    with FileLock(settings.home / ".mlflow.lock"):
        from mlflow import MlflowClient

        uri = index_uri(settings)
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        experiment = _experiment(client, settings)
        return sum(_tell(client, experiment, name, versions) for name, versions in _stores(settings))


def _stores(settings: Settings) -> Iterator[tuple[str, VersionStore[Any, Any]]]:
    yield CLASSIFIER, Versions(settings)
    for name in generator_names(settings):
        yield name, GeneratorVersions(settings, name)


def _experiment(client: Any, settings: Settings) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return found.experiment_id
    # A server keeps artefacts where it is set up to.
    location = None if settings.mlflow_uri else (settings.home.resolve() / "mlflow").as_uri()
    return client.create_experiment(EXPERIMENT, artifact_location=location)


def _tell(client: Any, experiment: str, name: str, versions: VersionStore[Any, Any]) -> int:
    infos = versions.list()
    if not infos:
        return 0
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name, description=f"{NOT_FOR_CLINICAL_USE} Aliases follow 'lesionlabel models promote'.")
    known = {entry.tags.get(VERSION_TAG): entry.version for entry in client.search_model_versions(f"name = '{name}'")}
    new = [info for info in infos if info.version not in known]
    for info in new:
        known[info.version] = _add(client, experiment, name, info)
    for info in infos:
        client.set_model_version_tag(name, known[info.version], "state", info.state)
    champion = next((info.version for info in infos if info.is_champion), None)
    candidate = next((info.version for info in versions.candidates()), None)
    aliases = client.get_registered_model(name).aliases
    for alias, version in ((CHAMPION, champion), (CANDIDATE, candidate)):
        wanted = None if version is None else known[version]
        if wanted is None and alias in aliases:
            client.delete_registered_model_alias(name, alias)
        elif wanted is not None and str(aliases.get(alias)) != str(wanted):
            client.set_registered_model_alias(name, alias, wanted)
    return len(new)


def _add(client: Any, experiment: str, name: str, info: VersionInfo[Any]) -> str:
    """A run with all files and figures of the version, and a model version that points to it. Its number in MLflow."""
    manifest = info.manifest
    tags = {VERSION_TAG: info.version, "model": name, "trained_on": manifest.trained_on, "snapshot": manifest.snapshot}
    tags |= {"code_version": manifest.code_version, "note": NOT_FOR_CLINICAL_USE}
    created = int(datetime.fromisoformat(manifest.created).timestamp() * 1000)
    run = client.create_run(experiment, start_time=created, tags=tags, run_name=f"{name} {info.version}")
    for key, value in _params(info):
        client.log_param(run.info.run_id, key, value)
    for key, value in _metrics(manifest).items():
        client.log_metric(run.info.run_id, key, value)
    client.log_artifacts(run.info.run_id, str(info.folder), "bundle")
    client.set_terminated(run.info.run_id, end_time=int(time.time() * 1000))
    entry = client.create_model_version(
        name, f"{run.info.artifact_uri}/bundle", run.info.run_id, tags=tags, description=_card(info.folder)
    )
    return entry.version


def _params(info: VersionInfo[Any]) -> Iterator[tuple[str, str]]:
    manifest = info.manifest
    yield "seed", str(manifest.seed)
    yield "parents", ", ".join(manifest.parents)[:MOST_LETTERS]
    for label, count in manifest.class_counts.items():
        yield f"lesions of {label}", str(count)
    for key, value in manifest.config.items():
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            yield key, str(value)[:MOST_LETTERS]


def _metrics(manifest: Any) -> dict[str, float]:
    """The figures that a table of versions is sorted by; all others are in the card."""
    evaluation = getattr(manifest, "evaluation", None) or {}
    figures = evaluation.get("headline") or evaluation.get("tested") or {}
    named = {"accuracy": "accuracy", "macro": "macro_sensitivity", "log_loss": "log_loss", "brier": "brier"}
    named |= {"malignant_called_benign": "malignant_called_benign"}
    found: dict[str, float] = {}
    for key, name in named.items():
        interval = figures.get(key)
        if isinstance(interval, dict):
            found |= {name: interval["value"], f"{name}_low": interval["low"], f"{name}_high": interval["high"]}
    if hasattr(manifest, "temperature"):
        found["temperature"] = manifest.temperature
    membership = getattr(manifest, "membership", None) or {}
    auc = membership.get("auc")
    if isinstance(auc, dict):
        found |= {"membership_auc": auc["value"], "membership_auc_low": auc["low"], "membership_auc_high": auc["high"]}
    return found


def _card(folder: Path) -> str:
    try:
        return (folder / "docs" / "README.md").read_text(encoding="utf-8")
    except OSError as error:
        raise IntegrityError(f"{folder.name} has no card that can be read.") from error
