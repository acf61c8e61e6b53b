# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
#
# Thin: every target is a script in tools/ or a call of meson, which knows how to build.

DATA    ?= ./data
ADDRESS ?= 127.0.0.1:9000
SECONDS ?= 10
PREFIX  ?= /usr/local

.PHONY: run build test check soak fuzz bench bench-peers install clean

run: build ## build and serve ./data on 127.0.0.1:9000
	exec build/cairn server $(DATA) --address $(ADDRESS)

build: ## build/cairn
	@tools/setup run
	@test -f build/build.ninja || meson setup build >/dev/null
	@ninja -C build cairn

test: ## everything that must pass before a change lands
	@tools/setup test
	@tools/test

check: ## formatting, layering, annotations, static analysis
	@tools/setup test
	@tools/check

soak: ## the long runs: many seeds, many kills, large objects
	@tools/setup test
	@tools/test --soak

fuzz: ## SECONDS=10 of libFuzzer on each parser
	@tools/setup test
	@tools/fuzz $(SECONDS)

bench: ## our figures beside their ceilings: docs/BENCHMARKS.md says how to read them
	@tools/setup bench
	@tools/bench

install: build
	@meson configure build --prefix $(PREFIX) >/dev/null
	@ninja -C build cairn packaging/man1
	@meson install -C build --no-rebuild

clean:
	rm -rf build build-*
