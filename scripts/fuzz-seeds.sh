#!/usr/bin/env bash
# Names the seeds of fuzz rounds that a crash left under way: each is in a file of its own, removed by a run that ends.
shopt -s nullglob
for file in /tmp/skala-fuzz-*.seed; do
    name=${file#/tmp/skala-fuzz-}
    echo "crashed in a round of ${name%-*.seed}: run it again with  make fuzz SEED=$(tr -d ' \n' <"$file")" >&2
    rm -f "$file"
done
