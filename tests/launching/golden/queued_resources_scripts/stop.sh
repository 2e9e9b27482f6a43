#!/bin/bash
# Rendered by `octomed launch render --backend=queued_resources`; change the launch config, not this file.
# Asks all machines to save, waits until they have, at most 600 s and a little, and gives the TPUs back.
set -u
state=gs://YOUR_BUCKET/octomed-7b/launch/state
folder=$(dirname "$state")
gcloud storage rm --recursive "$folder/stopped/" --quiet 2>/dev/null # of an earlier time; there may be none
echo stop | gcloud storage cp - "$state" --quiet || exit 42
waited=0
saved=0
while [ "$waited" -lt 660 ] && [ "$saved" -lt 64 ]; do
  sleep "${OCTOMED_POLL_SECONDS:-10}"
  waited=$((waited + 10))
  saved=$(gcloud storage ls "$folder/stopped/" 2>/dev/null | wc -l)
  echo "octomed launch: $saved of 64 machines have ended" >&2
done
gcloud compute tpus queued-resources delete octomed-7b --project=your-project --zone=us-west4-a --force --quiet
