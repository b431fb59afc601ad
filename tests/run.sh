#!/usr/bin/env bash
# The checks and the tests of artrec: set-up, ruff, mypy, pytest.
#
#   tests/run.sh [--long] [--line LINE] [PYTEST ARGUMENTS]
#
# --long: also the tests that take minutes. --line: with which set of versions, modern or petastorm
# (docker/setup.sh); ruff and mypy, which read the same code in both, run in modern alone.
#
# The closing line is pytest's own account. The exit status is that of the first step that fails.
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
marks='not long'
line=modern
while true; do
  case ${1:-} in
    --long) marks='' ;;
    --line)
      line=${2:-none}
      [ $# = 1 ] || shift
      ;;
    *) break ;;
  esac
  shift
done

environment=$(bash docker/setup.sh --test --line "$line")
eval "$environment"
bin=$(dirname -- "$PYSPARK_PYTHON")

if [ "$line" = modern ]; then
  "$bin/ruff" check .
  "$bin/ruff" format --check .
  "$bin/mypy"
fi
exec "$PYSPARK_PYTHON" -m pytest -m "$marks" "$@"
