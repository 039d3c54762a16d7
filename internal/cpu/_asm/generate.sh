#!/usr/bin/env bash
# Writes the assembly of package cpu anew: one file, and its Go declarations, for each generator in this folder.
set -euo pipefail
cd "$(dirname "$0")"
for dir in */main.go; do
	name=${dir%/main.go}
	file=${name}_amd64
	[ "$name" != neon ] || file=neon_arm64
	go run "./$name" -out "../$file.s" -stubs "../$file.go" -pkg cpu
done
