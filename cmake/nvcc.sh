#!/bin/sh
# nvcc.sh - sh nvcc.sh REPORT COMMAND... - runs a compiler and keeps what it says in REPORT; shows
# it if it fails, and warnings of it in any case.
report=$1
shift
"$@" >"$report.new" 2>&1 || {
    cat "$report.new" >&2
    exit 1
}
grep -E "(warning|error)" "$report.new" >&2
mv "$report.new" "$report"
