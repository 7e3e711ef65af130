# The two commands of the README, `make demo` and `make test`, do all the set-up on a fresh machine.
PYTHON ?= python3
OUT ?= out
# tests of the whole chain: in processes of their own, for a browser and the models leave much behind
WHOLE = tests/cards tests/demo tests/evaluation tests/reproduce
PARTS = $(addprefix --ignore=,$(WHOLE))
MINI = emovid_dataset/mini
BIN = .venv/bin

# one environment; a stamp file an extra, made anew when the requirements change
.venv/.base: setup.cfg constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[torch]'
	touch $@

.venv/.test: setup.cfg constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch .venv/.base $@

# datasets 3.6.0 is the last one that runs loading scripts; it has an environment of its own
.venv-datasets36/.done: tests/datasets36/requirements.txt
	$(PYTHON) -m venv .venv-datasets36
	.venv-datasets36/bin/pip install --quiet --disable-pip-version-check -r tests/datasets36/requirements.txt
	touch $@

.PHONY: demo reproduce test parts whole lint datasets36 apt sources fresh-clone bench clean

demo: .venv/.base ## build the miniature, verify it, load it back, make the report
	$(BIN)/emovid build $(MINI) --labels $(MINI)/labels.csv --note cards/dataset/miniature.txt --out $(OUT)/EmoVid --overwrite
	$(BIN)/emovid verify $(OUT)/EmoVid --decode
	$(BIN)/python -m emovid_dataset.demo $(OUT)/EmoVid
	$(BIN)/emovid stats $(OUT)/EmoVid --html $(OUT)/report.html

reproduce: .venv/.test ## the paper's claim in miniature: train from scratch, generate, judge, tabulate
	$(BIN)/python -m tools.reproduce all --jobs 2 --out $(OUT)/reproduce

# torchcodec wants FFmpeg's libraries and the browser tests want Chromium: taken from Debian where we may
apt:
	@if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
		if ! command -v ffmpeg >/dev/null || ! command -v chromium >/dev/null; then \
			apt-get update -qq && apt-get install -y -qq --no-install-recommends ffmpeg chromium fonts-dejavu-core >/dev/null; \
		fi; \
	else echo "no apt or not root: tests that need FFmpeg's libraries or Chromium are skipped"; fi

# the packages that the miniature was made from (0.8 GB), for the tests that make it anew
sources: .venv/.base
	$(BIN)/python -m tools.mini_corpus film
	$(BIN)/python -m tools.mini_corpus film city-cc0
	$(BIN)/python -m tools.mini_corpus emoji

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	nice $(BIN)/mypy

# what fails beside others, on a machine that may be loaded, is run once more by itself, and must pass then
PYTEST = OMP_NUM_THREADS=1 $(BIN)/pytest -q
# tests/conftest.py puts the files that take longest first; xdist itself would take those with the most tests
BESIDE = --dist loadfile --no-loadscope-reorder
# two runs at once, each with a list of its own of what failed
APART = -o cache_dir=.pytest_cache/whole
AGAIN = echo "what failed, once more by itself:" && $(PYTEST) --last-failed --last-failed-no-failures none

# In this order, three at a time: where a test waits for a browser or a server, another one has the core.
test:
	$(MAKE) --no-print-directory -j3 apt .venv/.test .venv-datasets36/.done
	rm -f .venv/.parts-failed .venv/.whole-failed
	$(MAKE) --no-print-directory -j3 lint datasets36 parts whole
	test ! -e .venv/.parts-failed || ($(AGAIN) $(PARTS))
	test ! -e .venv/.whole-failed || ($(AGAIN) $(WHOLE) $(APART))

# both of these leave it to `test` to decide, once nothing else runs any more
parts: .venv/.test
	$(PYTEST) $(PARTS) -n 2 $(BESIDE) || touch .venv/.parts-failed

whole: .venv/.test
	$(PYTEST) $(WHOLE) $(APART) -n 1 $(BESIDE) || touch .venv/.whole-failed

datasets36: .venv/.test .venv-datasets36/.done
	$(BIN)/python tests/datasets36/run.py .venv-datasets36/bin/python

# a clone of the last commit in a folder of its own, and in it all that a submission must pass
fresh-clone:
	folder=$$(mktemp -d) && git clone --quiet . $$folder/emovid && bash $$folder/emovid/.ci/run; \
	code=$$?; rm -rf $$folder; exit $$code

bench: .venv/.test
	$(BIN)/python -m benchmarks.build --out $(OUT)/bench
	$(BIN)/python -m benchmarks.load $(OUT)/bench
	$(BIN)/python -m benchmarks.metric

clean:
	rm -rf $(OUT) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
