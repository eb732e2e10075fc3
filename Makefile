# What the README tells people to type. Every target sets up what it needs; nothing needs root except test-codecs, test-emulator, test-system, test-live.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= out
# Every environment gets the tested releases, and one build of llama.cpp.
WHEELS := .venv-wheels
CONSTRAINTS := .ci/constraints.txt
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --no-compile --constraint $(CONSTRAINTS) --find-links $(WHEELS)
INSTALL := $(BIN)/python $(PIP_INSTALL) --editable
FAST := not models and not train and not live and not slow and not quantize and not system and not codecs and not fuzz and not remote and not desk and not clients

.PHONY: setup models demo test test-fast lint layers eval evaluate bench test-train wild test-desk test-clients test-offload test-fuzz fuzz-service fuzz-readers test-remote test-codecs test-emulator bench-link test-system test-live clean

setup: $(VENV)/.ready models

# What the demo needs, and no more. llama.cpp is compiled and the models are fetched side by side.
$(VENV)/.demo: pyproject.toml $(CONSTRAINTS) .ci/llama_cpp.cmake
	$(MAKE) -j2 $(WHEELS)/.ready $(VENV)/.pulled
	$(INSTALL) '.[voice]'
	touch $@

$(VENV)/.bare:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	mkdir -p $(WHEELS)
	touch $@

# llama-cpp-python comes as source: some minutes on two cores, once for all environments. pip's cache of built wheels does
# not record CMAKE_ARGS, so it is bypassed where they are set.
$(WHEELS)/.ready: $(CONSTRAINTS) .ci/llama_cpp.cmake | $(VENV)/.bare
	@echo "compiling llama.cpp: some minutes, once"
	CMAKE_ARGS="$(CMAKE_ARGS) -DCMAKE_PROJECT_llama_cpp_INCLUDE=$(CURDIR)/.ci/llama_cpp.cmake" \
		$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --constraint $(CONSTRAINTS) \
		$(if $(CMAKE_ARGS),--no-cache-dir) --no-deps --wheel-dir $(WHEELS) llama-cpp-python
	touch $@

# What `glasses models pull` needs is little. BUNDLE=pocket fetches 400 MB less; without it the machine's memory decides.
$(VENV)/.pulled: pyproject.toml $(CONSTRAINTS) | $(VENV)/.bare
	$(BIN)/python $(PIP_INSTALL) rich numpy psutil huggingface_hub
	$(INSTALL) . --no-deps
	$(BIN)/glasses models pull $(if $(BUNDLE),--bundle $(BUNDLE))
	touch $@

# What developers need as well. The tests need pocket only.
$(VENV)/.ready models: export BUNDLE ?= pocket
$(VENV)/.ready: $(VENV)/.demo
	$(INSTALL) '.[voice,service,dev]'
	$(BIN)/glasses models pull sentence-minilm-l6-int8
	touch $@

models: $(VENV)/.demo
	$(BIN)/glasses models pull --bundle $(BUNDLE)

demo: $(VENV)/.demo
	$(BIN)/glasses demo --out $(OUT)/demo $(if $(BUNDLE),--bundle $(BUNDLE))

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

# The imports between the packages under glasses/, level by level.
layers: $(VENV)/.ready
	$(BIN)/python -m tests.unit.test_layers

# No models, no lint: under a minute on two idle cores.
test-fast: $(VENV)/.ready
	$(BIN)/pytest tests/unit -m '$(FAST)' -k 'not fuzz'

test: setup lint
	$(BIN)/pytest -m 'not train and not live and not slow and not quantize and not system and not codecs and not fuzz and not remote and not desk and not clients'

evaluate: setup
	$(INSTALL) '.[baseline]'
	$(BIN)/glasses models pull whisper-tiny-en-ct2
	$(BIN)/glasses evaluate --out $(OUT)/eval

eval: evaluate  # its old name

bench: setup
	$(BIN)/glasses bench memory
	$(BIN)/glasses bench latents

.venv-train/.ready: pyproject.toml $(CONSTRAINTS) | $(WHEELS)/.ready
	$(PYTHON) -m venv .venv-train
	.venv-train/bin/python $(PIP_INSTALL) --editable '.[voice,service,train,dev]'
	touch $@

# What needs torch: the recipes' own tests, and those that take longer.
test-train: .venv-train/.ready models
	.venv-train/bin/pyright --pythonpath .venv-train/bin/python quantize
	.venv-train/bin/pytest -m '(train or slow or quantize) and not system'

# Inputs and habits from the wild: a table of all cases, what is right and what came. Some minutes.
wild: setup
	$(BIN)/python -m tests.wild.table

# The bundle for the service behind the glasses, 491 MB.
test-desk: setup
	$(BIN)/glasses models pull --bundle desk
	$(BIN)/pytest -m desk tests/desk

# What people talk to a service with: the openai package and an agent framework, against `glasses serve`. A minute.
test-clients: setup
	$(INSTALL) '.[clients]'
	$(BIN)/pytest -m clients tests/clients

# A thousand turns that may be answered far away, while link and service fail in every way.
test-offload: $(VENV)/.ready
	GLASSES_TEST_TURNS=1000 $(BIN)/pytest -s -m slow tests/faults/test_offload.py

# Bad input for the service, made up by Schemathesis from the schema that it publishes: a short run, and one of minutes.
test-fuzz: setup
	$(INSTALL) '.[fuzz]'
	$(BIN)/pytest -m fuzz tests/fuzz

fuzz-service: setup
	$(INSTALL) '.[fuzz]'
	$(BIN)/python -m tests.fuzz.fuzz_service --examples 500

# A million bad inputs for each reader of sounds, pictures, recordings, models, configuration and every wire, one after
# the other: an hour or two. Gone on with where it was stopped; what is found lies in ~/.cache/glasses-fuzz.
fuzz-readers: setup
	$(INSTALL) '.[fuzz,quantize]'
	for target in $$($(BIN)/python -m tests.fuzz.fuzz_readers --list); do \
		$(BIN)/python -m tests.fuzz.fuzz_readers --target $$target --runs $(or $(RUNS),1000000) || exit 1; done

# The gateway before a real vLLM on this CPU (2.5 GB, x86-64). torch==2.13.0+cpu is not on PyPI: where your index lacks it,
# PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make test-remote
.venv-vllm/.ready: tests/remote/requirements.txt
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r tests/remote/requirements.txt
	touch $@

test-remote: .venv-train/.ready .venv-vllm/.ready models
	GLASSES_VLLM_PYTHON=$(CURDIR)/.venv-vllm/bin/python .venv-train/bin/pytest -m remote tests/remote

# The sound of BLE glasses, through the reference libraries of Opus and LC3. Installs Debian packages: root.
test-codecs: $(VENV)/.ready
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends libopus0 liblc3-0
	$(INSTALL) '.[codecs]'
	$(BIN)/pytest -m codecs tests/emulator tests/unit/firmware_bridge/test_device_sound.py

# The report and the dashboard in a real browser, the boot service by systemd's own tools, a full disk, and the exported
# models under arm64 in user-mode emulation. Installs Debian packages: root.
test-system: .venv-train/.ready models
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium qemu-user-static fonts-dejavu-core systemd shellcheck openssl
	.venv-train/bin/pytest -m system

# Spoken to through PortAudio in a room made of PulseAudio sinks, in real time. Installs Debian packages: root.
test-live: setup
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
		pulseaudio pulseaudio-utils libasound2-plugins libportaudio2 strace systemd iproute2
	$(BIN)/pytest -m live tests/live tests/faults

# The firmware's image under QEMU and the numbered suite over its serial port. Installs Debian packages: root.
test-emulator: $(VENV)/.ready
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
		gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm
	mkdir -p firmware_bridge/firmware/build
	flock firmware_bridge/firmware/build/.lock $(MAKE) -C firmware_bridge/firmware qemu nrf52840
	$(BIN)/pytest tests/hil --hil=local
	$(BIN)/pytest tests/hil --hil=emulator

# Figures of the link: ten minutes over a bad wire, ten million mutated frames a side, throughput beside a raw copy.
bench-link: $(VENV)/.ready
	$(BIN)/python -m tests.faults.link_scenario
	$(BIN)/python -m tests.emulator.link_throughput
	$(BIN)/python -m tests.emulator.fuzz_link --frames 10000000

clean:
	rm -rf $(VENV) $(WHEELS) .venv-train .venv-vllm $(OUT) .pytest_cache .ruff_cache
