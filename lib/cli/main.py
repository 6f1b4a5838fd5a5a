"""`lesionlabel`: the command line."""

from __future__ import annotations

import sys

import typer

from lesionlabel.cli import (
    demo,
    experiment,
    generate,
    importing,
    jobs,
    models,
    phantom,
    readers,
    results,
    serving,
    slicer_module,
    training,
)
from lesionlabel.training.hooks import TOLD

app = typer.Typer(
    name="lesionlabel",
    help="Focal liver lesions on CT: classify, curate, retrain. Research software, not for clinical use.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("demo")(demo.demo)
app.command("serve")(serving.serve)
app.command("classify")(serving.classify)
app.command("import")(importing.import_command)
app.command("import-rois")(importing.import_rois_command)
app.command("slicer-module")(slicer_module.slicer_module)
app.command("phantom")(phantom.phantom)
app.add_typer(training.train_app, name="train")
app.command("generate")(generate.generate)
app.command("synthetic-set")(generate.synthetic_set)
app.command("experiment")(experiment.experiment)
app.add_typer(jobs.jobs_app, name="jobs")
app.command("worker")(jobs.worker)
app.add_typer(models.models_app, name="models")
app.add_typer(readers.readers_app, name="readers")
app.add_typer(results.results_app, name="results")
app.add_typer(models.generators_app, name="generators")


def main() -> None:
    """Run a command; what a user can mend is one line on stderr and exit status 2."""
    try:
        app()
    except TOLD as error:
        sys.stderr.write(f"lesionlabel: {error}\n")
        sys.exit(2)
