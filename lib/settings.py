"""Every setting, in one typed class, read from the environment (LESIONLABEL_*)."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from lesionlabel.lesions.classes import DEFAULT_CLASSES, ClassList, read_classes

#: A user and a password in an address.
CREDENTIALS = re.compile(r"//[^/@\s]*@")


class Settings(BaseSettings):
    """What a site can change. State lives under home; studies stay where the user points."""

    model_config = SettingsConfigDict(env_prefix="LESIONLABEL_", extra="ignore", validate_by_name=True, validate_by_alias=True)

    home: Path = Field(default_factory=lambda: Path.home() / ".lesionlabel", description="the folder that holds all state")
    class_file: Path | None = Field(default=None, description="TOML list of lesion classes; the built-in three if unset")
    volume_cache_gib: float = Field(default=20.0, gt=0, description="bound of the volume store on disk, in GiB")
    device: str = Field(default="auto", description="torch device: auto, cpu, cuda, cuda:0 …")
    allow_starter: bool = Field(default=True, description="serve the phantom-trained starter model until a version is promoted")
    jobs_database: SecretStr | None = Field(
        default=None, description="postgresql://… of the jobs, where several machines work; a SQLite file under home if unset"
    )
    mlflow: bool = Field(default=True, description="have workers tell MLflow of all versions and aliases")
    mlflow_uri: str | None = Field(default=None, description="an MLflow server; a SQLite file under home if unset")
    auto_promote: bool = Field(default=False, description="let a version that passed the gate in regime A serve at once")
    retrain_at: str | None = Field(default=None, description="when to retrain, five cron fields, such as 0 2 * * *")
    retrain_after: int | None = Field(default=None, gt=0, description="retrain after so many newly curated lesions")
    dicomweb_username: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("LESIONLABEL_DICOMWEB_USERNAME", "MONAI_LABEL_DICOMWEB_USERNAME"),
        description="the PACS's user, if it wants one (HTTP Basic)",
    )
    dicomweb_password: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("LESIONLABEL_DICOMWEB_PASSWORD", "MONAI_LABEL_DICOMWEB_PASSWORD"),
        description="and the password",
    )
    dicomweb_ca_file: Path | None = Field(default=None, description="certificates (PEM) by which an https PACS is trusted")
    dicomweb_timeout_s: float = Field(default=30.0, gt=0, description="how long the PACS may be silent, in seconds")
    dicomweb_wait_s: float = Field(default=60.0, gt=0, description="how long a question waits for its series to be fetched")
    dicomweb_cache_gib: float = Field(default=50.0, gt=0, description="bound of the series fetched from the PACS on disk, in GiB")
    dicomweb_search: dict[str, str] = Field(
        default_factory=dict,
        validation_alias=AliasChoices("LESIONLABEL_DICOMWEB_SEARCH", "MONAI_LABEL_DICOMWEB_SEARCH_FILTER"),
        description='which CT series are listed, as JSON, such as {"StudyDate": "20250101-"}',
    )
    store_results: bool = Field(default=False, description="store readers' decisions on the PACS as DICOM SEG and SR")
    results_url: str | None = Field(default=None, description="a DICOMweb address for results other than that of --studies")
    results_username: SecretStr | None = Field(default=None, description="its user, if it wants one")
    results_password: SecretStr | None = Field(default=None, description="and the password")
    retrain_params: dict[str, str] = Field(default_factory=dict, description="parameters of a scheduled retraining, as JSON")

    @cached_property
    def classes(self) -> ClassList:
        """The configured class list. Raises InputError when the file is not right."""
        return DEFAULT_CLASSES if self.class_file is None else read_classes(self.class_file)

    @property
    def results_folder(self) -> Path:
        """DICOM results that wait to be sent, and what is known of those that were: one folder for each PACS."""
        return self.home / "results"

    @property
    def volumes_folder(self) -> Path:
        return self.home / "volumes"

    @property
    def versions_folder(self) -> Path:
        """Trained classifier versions, one bundle folder each."""
        return self.home / "versions"

    @property
    def generators_folder(self) -> Path:
        """Trained generator versions: one folder per generator, one bundle folder each in it."""
        return self.home / "generators"

    @property
    def snapshots_folder(self) -> Path:
        return self.home / "snapshots"

    @property
    def training_folder(self) -> Path:
        """What trainings have finished of what they still work on."""
        return self.home / "training"

    @property
    def jobs_folder(self) -> Path:
        """Log and progress of each job, one folder each."""
        return self.home / "jobs"

    @property
    def workers_folder(self) -> Path:
        """One file for each worker that lives."""
        return self.home / "workers"

    @property
    def scores_folder(self) -> Path:
        """What the serving classifier says of each volume's candidate lesions."""
        return self.home / "scores"

    @property
    def synthetic_folder(self) -> Path:
        """The register of the synthetic ROIs that this site has made."""
        return self.home / "synthetic"

    def describe(self) -> dict[str, str]:
        """Every setting as text, for printing at start; nothing here is secret."""
        shown = {name: str(value) for name, value in self.model_dump().items()}
        return {name: CREDENTIALS.sub("//", value) for name, value in shown.items()}
