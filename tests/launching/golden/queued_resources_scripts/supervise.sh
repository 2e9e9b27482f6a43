#!/bin/bash
# Rendered by `octomed launch render --backend=queued_resources`; change the launch config, not this file.
# Watches over the job and stays until it has ended:  bash supervise.sh
# TPUs that were taken away are asked for again, which is not counted; TPUs of a job that has ended are given back.
# Its exit code is that of the job, 42 after `octomed launch stop`.
set -u
cd -- "$(dirname -- "$0")" || exit 2
state=gs://YOUR_BUCKET/octomed-7b/launch/state
create() {
  gcloud compute tpus queued-resources create octomed-7b \
    --project=your-project \
    --zone=us-west4-a \
    --accelerator-type=v5litepod-256 \
    --runtime-version=v2-alpha-tpuv5-lite \
    --node-id=octomed-7b \
    --spot \
    --scopes=https://www.googleapis.com/auth/cloud-platform \
    --labels=octomed=octomed-7b \
    --metadata-from-file=startup-script=startup.sh
}
delete() {
  gcloud compute tpus queued-resources delete octomed-7b --project=your-project --zone=us-west4-a --force --quiet
}
ended() {
  echo "octomed launch: $1; giving the TPUs back" >&2
  sleep "${OCTOMED_POLL_SECONDS:-60}" # the other machines are writing their last lines
  delete
  exit "$2"
}
while :; do
  case $(gcloud storage cat "$state" 2>/dev/null) in
    "ended "*)
      code=$(gcloud storage cat "$state")
      ended "the job ended with exit code ${code#ended }" "${code#ended }"
      ;;
    stop*) echo "octomed launch: the job was asked to stop; stop.sh gives the TPUs back" >&2 && exit 42 ;;
  esac
  case $(gcloud compute tpus queued-resources describe octomed-7b --project=your-project --zone=us-west4-a '--format=value(state.state)' 2>/dev/null) in
    SUSPENDED | SUSPENDING | FAILED)
      echo "octomed launch: the TPUs were taken away; asking for others" >&2
      delete
      create
      ;;
  esac
  sleep "${OCTOMED_POLL_SECONDS:-60}"
done
