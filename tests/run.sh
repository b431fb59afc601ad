#!/usr/bin/env bash
# The checks and the tests of artrec: set-up, ruff, mypy, pytest.
#
#   tests/run.sh [--long] [PYTEST ARGUMENTS]     --long: also the tests that take minutes
#
# The closing line is pytest's own account. The exit status is that of the first step that fails.
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
environment=$(bash docker/setup.sh --test)
eval "$environment"
bin=$(dirname -- "$PYSPARK_PYTHON")

marks='not long'
if [ "${1:-}" = --long ]; then
  marks=''
  shift
fi

"$bin/ruff" check .
"$bin/ruff" format --check .
"$bin/mypy"
exec "$PYSPARK_PYTHON" -m pytest -m "$marks" "$@"
