#!/usr/bin/env bash
# Writes the assembly of package cpu anew: one file, and its Go declarations, for each generator in this folder.
set -euo pipefail
cd "$(dirname "$0")"
for dir in */main.go; do
	name=${dir%/main.go}
	go run "./$name" -out "../${name}_amd64.s" -stubs "../${name}_amd64.go" -pkg cpu
done
