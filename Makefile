# make demo   upscale the example photo; pictures in demo/
# make test   lint, types, tests
# make soak   kill runs and damage pictures, thousands of times; half an hour
# make test-browser   the page of manet explore in headless Chromium (Debian: chromium-driver)
# make wheel  build the wheel, and use it from an empty environment in another folder
# make docs   build the site of docs/ into build/site
# make release-check   build sdist and wheel, look into them, run the demo from the wheel with the oldest and the newest dependencies
# make test-versions   run the tests with the oldest and with the newest versions of all that we depend on;
#             TORCH=torch==2.13.0 takes that PyTorch in both, TESTS=tests/weights a part of the tests
PYTHON ?= python3
PIP = .venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-versions test-browser soak wheel docs release-check clean

demo: .venv/runtime
	.venv/bin/python examples/demo.py

test: .venv/development
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal

soak: .venv/development
	.venv/bin/python -m pytest --soak tests/safety

test-browser: .venv/development
	.venv/bin/python -m pytest --require-browser tests/browser

# What both versions are installed by: constraints in build/oldest.txt, build/newest.txt and build/torch.txt.
define CONSTRAINTS
mkdir -p build
$(PYTHON) tests/floors.py > build/oldest.txt
sed 's/==[^;]*//' build/oldest.txt > build/newest.txt
echo "$(TORCH)" > build/torch.txt
endef
INSTALL_VERSIONS = -m pip install --quiet --disable-pip-version-check --upgrade --constraint build/torch.txt --requirement

test-versions:
	$(CONSTRAINTS)
	for versions in oldest newest; do \
	  $(PYTHON) -m venv build/$$versions && \
	  build/$$versions/bin/python $(INSTALL_VERSIONS) build/$$versions.txt --editable . pytest && \
	  build/$$versions/bin/python -m pip list --disable-pip-version-check && \
	  build/$$versions/bin/python -m pytest $(TESTS) || exit 1; \
	done

docs: .venv/docs
	.venv/bin/mkdocs build

release-check: .venv/development
	rm -rf dist build/release
	.venv/bin/python -m tests.release
	$(CONSTRAINTS)
	for versions in oldest newest; do \
	  $(PYTHON) -m venv build/release/$$versions && \
	  build/release/$$versions/bin/python $(INSTALL_VERSIONS) build/$$versions.txt dist/*.whl && \
	  cp -r examples build/release/$$versions/ && \
	  (cd build/release/$$versions && bin/manet weights verify && bin/python examples/demo.py) || exit 1; \
	done

wheel: .venv/development
	rm -rf dist build/wheel
	.venv/bin/python -m build --wheel --outdir dist .
	$(PYTHON) -m venv build/wheel
	build/wheel/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt dist/*.whl
	cp examples/chelsea_small.png build/wheel/photo.png
	cd build/wheel && bin/manet weights verify && bin/manet doctor && bin/manet upscale photo.png --overwrite && bin/manet explore photo.png --overwrite && bin/python -m manet_cli --version

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/runtime: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) --editable .
	touch $@

.venv/development: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) --editable '.[dev]'
	touch $@ .venv/runtime

.venv/docs: .venv/development
	$(PIP) --editable '.[docs]'
	touch $@

clean:
	rm -rf .venv build completions demo dist
