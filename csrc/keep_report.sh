#!/bin/sh
# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

# Runs a compiler and keeps what it says in a file: the assembler's report of every kernel's registers, spills and shared
# memory, which no later step of a build could tell without compiling once more. Only warnings and errors are shown.
#
#   keep_report.sh REPORT COMPILER ARGUMENT...

report=$1
shift
"$@" >"$report.new" 2>&1
status=$?
if [ "$status" -eq 0 ]; then
    grep -Ev '^(ptxas info| +[0-9]+ bytes stack frame)' "$report.new" >&2
else
    cat "$report.new" >&2
fi
mv "$report.new" "$report"
exit "$status"
