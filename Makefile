# make demo: everything from nothing to the report. make test: what a change must pass; make test-slow: faults, servers,
# pages, every command of the README. Needs Python, pip, make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test test-slow check format results benchmarks check-gpu secrets up down lock system-packages clean

install: .venv/installed

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

demo: install
	$(BIN)/softaug launch quickstart
	$(BIN)/softaug report quickstart
	@echo "Open report/index.html, or browse the runs with: $(BIN)/softaug ui"

test: check
	$(BIN)/python -m pytest -m "not slow" --numprocesses 2 --dist loadfile

test-slow: install
	$(BIN)/python -m pytest -m "slow and not alone" --numprocesses 2 --dist loadfile --no-loadscope-reorder
	$(BIN)/python -m pytest -m "slow and alone"

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

benchmarks: install
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/augmentation.py
	$(BIN)/python benchmarks/training_step.py
	$(BIN)/python benchmarks/end_to_end.py
	$(BIN)/python benchmarks/image_folder.py
	$(BIN)/python benchmarks/status.py
	$(BIN)/python benchmarks/report.py
	$(BIN)/python benchmarks/checkpoint.py
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/search_regret.py
	$(BIN)/python benchmarks/search_overhead.py
	$(BIN)/python benchmarks/quickstart.py
	$(BIN)/python benchmarks/outage.py
	$(BIN)/python benchmarks/scale.py
	$(BIN)/python benchmarks/concurrency.py

# What results/ keeps: under an hour on two CPU cores, a minute if ./runs has the trials.
results: install
	for sweep in figure-3 table-1; do \
	  $(BIN)/softaug launch $$sweep --scale laptop && \
	  $(BIN)/softaug figure $$sweep --scale laptop --out results && \
	  $(BIN)/softaug table $$sweep --scale laptop > results/$$sweep@laptop/table.md && \
	  $(BIN)/softaug table $$sweep --scale laptop --format csv > results/$$sweep@laptop/table.csv && \
	  $(BIN)/softaug status $$sweep --scale laptop --json > results/$$sweep@laptop/ledger.json && \
	  $(BIN)/python results/runs.py $$sweep@laptop > results/$$sweep@laptop/runs.csv || exit; \
	done
	$(BIN)/softaug table 1 --scale laptop > results/table-1@laptop/paper-table-1.md
	$(BIN)/softaug table 1 --scale laptop --format csv > results/table-1@laptop/paper-table-1.csv
	$(BIN)/softaug table 1 --scale laptop --format latex > results/table-1@laptop/paper-table-1.tex
	$(BIN)/softaug claims --scale laptop --format markdown > results/claims.md

# On a machine with a GPU: parity with the CPU, no host synchronisation, throughput.
check-gpu: install
	$(BIN)/python benchmarks/check_gpu.py

# The stack of docker-compose.yml: passwords and a token that nobody else has, then everything up and healthy.
secrets:
	$(PYTHON) deploy/make_secrets.py

up: secrets
	SOFTAUG_COMMIT=$$(git rev-parse HEAD) docker compose up --detach --build --wait

down:
	docker compose down

# After changing dependencies in pyproject.toml: the newest versions it allows, written down exactly. The image's lock
# has hashes too: the same versions, without what only development needs, and with what a server and a bucket need.
lock:
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check setuptools --editable ".[dev]"
	$(BIN)/pip freeze --all --exclude-editable | grep -v '^pip==' \
	  | sed -E 's/^((nvidia|cuda|triton).*)$$/\1 ; platform_system == "Linux"/' > requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile --quiet pyproject.toml --extra server --extra s3 --constraint requirements.lock --generate-hashes \
	  --python-version 3.11 --python-platform x86_64-manylinux_2_28 --no-annotate --no-header \
	  --output-file deploy/requirements.lock

# What only the system can give (Debian, Ubuntu): Chromium looks at pages in the tests, PostgreSQL and ip (networks whose
# cables are pulled) are for the tests of faults, Fashion-MNIST is a data set.
system-packages:
	apt-get update --quiet
	apt-get install --quiet --yes --no-install-recommends chromium dataset-fashion-mnist fonts-dejavu-core g++ \
	  git iproute2 postgresql

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
