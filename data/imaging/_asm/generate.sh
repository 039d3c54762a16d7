#!/usr/bin/env bash
# Writes the assembly of package imaging anew, and its Go declarations.
set -euo pipefail
cd "$(dirname "$0")"
go run . -out ../kernels_amd64.s -stubs ../kernels_amd64.go -pkg imaging
