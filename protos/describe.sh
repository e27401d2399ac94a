#!/usr/bin/env bash
# Writes what protos/v1 says, with its comments, into FILE (a FileDescriptorSet); needs uv on the PATH or as $UV.
set -euo pipefail
out=$(realpath -m "$1")
cd "$(dirname "$0")/.."
"${UV:-uv}" run --quiet --no-project --isolated --with grpcio-tools==1.74.0 python -m grpc_tools.protoc \
  --proto_path=. --include_source_info --descriptor_set_out="$out" protos/v1/*.proto
