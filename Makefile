# Everything runs in .venv, which the first command makes: nothing is installed outside this folder.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint bench clean

demo: .venv/.ready  ## start the app on the embedded model: http://127.0.0.1:7860
	CLIPTRASE_MODEL=$${CLIPTRASE_MODEL:-nano} $(BIN)/python app.py

# Two workers, one thread each: files of tests are shared out, a file stays with one worker.
test: .venv/.ready  ## every test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

lint: .venv/.ready  ## style, types, walls
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_architecture.py

bench: .venv/.ready  ## speed of core and page, a soak: measured here
	$(BIN)/python -m tests.benchmarks
	$(BIN)/python -m tests.benchmarks.page
	$(BIN)/python -m tests.benchmarks.soak
	$(BIN)/python -m tests.benchmarks.refine
	$(BIN)/python -m tests.benchmarks.folder

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache

# torch and torchvision come from one resolution: a mismatched pair does not import.
.venv/.ready: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.4"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[dev]'
	@# The first import leaves byte code behind; without it (PYTHONDONTWRITEBYTECODE) every start compiles for seconds.
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -c "import gradio, open_clip, segment_anything, pytest, cliptrase_core.cli, demo.layout"
	touch $@
