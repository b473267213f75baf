#!/usr/bin/env bash
# run.sh c PROGRAM | run.sh python: one interop client as the initial program of an instance of ours. Exits with 77
# (skipped) where no existing client library is installed.
set -u
here=$(dirname "$0")
case $1 in
c)
    [ -n "${2:-}" ] || { echo "skipped: pkg-config knows no flux-core"; exit 77; }
    client=("$2") ;;
python)
    python3 -c "import flux, flux.job, flux.kvs" 2>/dev/null || { echo "skipped: python3 has no flux package"; exit 77; }
    client=(python3 "$here/client.py") ;;
esac
unset FLUX_URI
exec "$FLUX_BUILD_BIN/flux" start "${client[@]}"
