#!/usr/bin/env bash
# Generates the stubs of protos/ into DIR (default: in place); needs uv on the PATH or as $UV.
# The data plane's streams are of our own making (docs/adr/0011): its messages are used, its service's stubs are not.
# An old protoc on purpose: protobuf refuses stubs newer than its runtime, and Python 3.9 boards end at protobuf 6.33.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-.}
"${UV:-uv}" run --quiet --no-project --isolated --with grpcio-tools==1.74.0 python -m grpc_tools.protoc \
  --proto_path=. --python_out="$out" --pyi_out="$out" protos/v1/*.proto protos/oip/v2/*.proto
"${UV:-uv}" run --quiet --no-project --isolated --with grpcio-tools==1.74.0 python -m grpc_tools.protoc \
  --proto_path=. --grpc_python_out="$out" protos/v1/control_plane.proto protos/oip/v2/inference.proto
