# Everything runs in .venv, which the first command creates. Nothing is installed outside this folder.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test e2e lint bench soak load interop clean

demo: .venv/.ready  ## start the app on the embedded model: http://127.0.0.1:7860
	CLIPTRASE_MODEL=$${CLIPTRASE_MODEL:-nano} $(BIN)/python app.py

# Two workers with one thread each; all tests of a file run in the same worker.
test: .venv/.ready  ## all tests, and one pass in a real browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not e2e or browser_pass"

e2e: .venv/.ready  ## all browser tests; screenshots in artifacts/
	$(BIN)/python -m pytest tests/e2e

lint: .venv/.ready  ## style, types, architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_architecture.py

bench: .venv/.ready  ## measure the speed of core and page, then a short soak test
	$(BIN)/python -m tests.benchmarks
	$(BIN)/python -m tests.benchmarks.page
	$(BIN)/python -m tests.benchmarks.lens
	$(BIN)/python -m tests.benchmarks.start
	$(BIN)/python -m tests.benchmarks.soak --requests 300
	$(BIN)/python -m tests.benchmarks.refine
	$(BIN)/python -m tests.benchmarks.folder

soak: .venv/.ready  ## one hour of mixed requests: memory must stay level, no files may remain
	$(BIN)/python -m tests.benchmarks.soak

load: .venv/.ready  ## four minutes of load: 1 to 16 simultaneous visitors with photographs
	$(BIN)/python -m tests.benchmarks.load

# Half a gigabyte of third-party programs, in a separate environment: they must not affect the versions installed here.
interop: .venv/.ready .venv-interop/.ready  ## open exports with pycocotools, supervision, labelme and ultralytics
	rm -rf build/interop
	$(BIN)/python -m tests.interop.make build/interop
	CLIPTRASE_INTEROP=build/interop QT_QPA_PLATFORM=offscreen YOLO_OFFLINE=true .venv-interop/bin/python -m pytest -q \
		--noconftest -p no:cacheprovider -c /dev/null --rootdir . tests/interop/test_interop.py

.venv-interop/.ready: .venv/.ready
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-interop
	$(BIN)/uv pip install --quiet --python .venv-interop/bin/python "pytest>=8.2" "pycocotools>=2.0.8" "supervision>=0.25" \
		"labelme>=6" "ultralytics>=8.3"
	touch $@

clean:
	rm -rf .venv .venv-interop .pytest_cache .mypy_cache .ruff_cache

# torch and torchvision come from one resolution: a mismatched pair does not import.
.venv/.ready: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.4"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[dev]'
	@# The first import writes byte code; without it (PYTHONDONTWRITEBYTECODE) every start compiles for seconds.
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -c "import gradio, open_clip, segment_anything, pytest, cliptrase_core.cli, demo.page"
	touch $@
