#!/bin/bash
# Rendered by `octomed launch render --backend=queued_resources`; change the launch config, not this file.
# Every machine of the TPU runs it, as root, whenever it starts. It starts the trainer's image, acts on its exit code,
# and writes to Cloud Logging.
set -u
export HOME=${HOME:-/root}
state=gs://YOUR_BUCKET/octomed-7b/launch/state
image=us-docker.pkg.dev/your-project/octomed/trainer:0.1.0

# attribute NAME: what Cloud TPU tells this machine about itself.
attribute() {
  curl --silent --fail --retry 10 --retry-connrefused --header 'Metadata-Flavor: Google' \
    "http://metadata.google.internal/computeMetadata/v1/instance/attributes/$1"
}
of_slices() {
  attribute tpu-env | sed -n "s/^$1: *'\(.*\)'/\1/p"
}
worker=$(attribute agent-worker-number) || exit 1
hosts=$(attribute worker-network-endpoints | tr ',' '\n' | awk -F: '{ print (NF >= 3 ? $3 : $1) }')
slice=$(of_slices MEGASCALE_SLICE_ID)
slices=$(of_slices MEGASCALE_NUM_SLICES)
first=$(of_slices MEGASCALE_COORDINATOR_ADDRESS)
slice=${slice:-0}
slices=${slices:-1}
first=${first:-$(echo "$hosts" | head -n 1)}
in_slice=$(echo "$hosts" | wc -l)
name=octomed-7b-$slice-$worker

# The processes must be told of each other: in a container without Kubernetes JAX would not look for the others.
export JAX_COORDINATOR_ADDRESS=${first%%:*}:8476
export JAX_NUM_PROCESSES=$((slices * in_slice))
export JAX_PROCESS_ID=$((slice * in_slice + worker))

tell() {
  echo "$1" | gcloud storage cp - "$state" --quiet
}
current() {
  gcloud storage cat "$state" 2>/dev/null
}
# ended_by_all: whether the whole job is to end, or has ended elsewhere.
ended_by_all() {
  case $(current) in
    stop* | "ended "*) return 0 ;;
    *) return 1 ;;
  esac
}
# give_up WORDS: what no new try will mend ends the whole job, or the others would wait for this machine.
give_up() {
  echo "octomed launch: $1" >&2
  tell "ended 2"
  exit 2
}
ended_by_all && exit 0

install_mounter() {
  local packages=https://packages.cloud.google.com/apt key=/usr/share/keyrings/octomed-gcsfuse.asc
  curl --silent --fail --retry 10 --output "$key" "$packages/doc/apt-key.gpg" || return 1
  echo "deb [signed-by=$key] $packages gcsfuse-$(lsb_release --codename --short) main" \
    >/etc/apt/sources.list.d/octomed-gcsfuse.list
  apt-get update --quiet && apt-get install --quiet --yes gcsfuse
}
tries=0
until command -v gcsfuse >/dev/null || install_mounter; do
  tries=$((tries + 1))
  [ "$tries" -lt 10 ] || give_up "cannot install gcsfuse"
  sleep "${OCTOMED_POLL_SECONDS:-30}"
done
# mount_folder PATH BUCKET [OPTION]: let the container, whose user is not root, read a folder of a bucket.
mount_folder() {
  local path=$1 bucket=$2
  shift 2
  ! mountpoint -q "$path" || fusermount -u "$path" || give_up "something else is mounted at $path"
  mkdir -p -- "$path" "/var/cache/octomed$path" || give_up "cannot make $path"
  gcsfuse -o ro -o allow_other --implicit-dirs --cache-dir="/var/cache/octomed$path" \
    --file-cache-max-size-mb=20480 --file-cache-cache-file-for-range-read "$@" "$bucket" "$path" ||
    give_up "cannot mount $bucket at $path"
}
mount_folder /mnt/shards YOUR_BUCKET --only-dir=octomed-7b/shards

gcloud auth configure-docker us-docker.pkg.dev --quiet || give_up "cannot log in to "us-docker.pkg.dev
tries=0
until docker pull "$image"; do
  tries=$((tries + 1))
  [ "$tries" -lt 10 ] || give_up "cannot pull $image"
  sleep "${OCTOMED_POLL_SECONDS:-30}"
done

# The chips read and write the trainer's memory, which must be locked for that: its user is not root, and has a limit.
trainer=(
  docker run --name "$name" --init --privileged --ulimit memlock=-1 --network host --shm-size 16g --stop-timeout 600
  --log-driver gcplogs --env JAX_COORDINATOR_ADDRESS --env JAX_NUM_PROCESSES --env JAX_PROCESS_ID
  --mount "type=bind,source=/mnt/shards,target=/mnt/shards,readonly" --env JAX_COMPILATION_CACHE_DIR=gs://YOUR_BUCKET/jax-cache "$image" train --config=configs/octomed_7b.py --config.run=gs://YOUR_BUCKET/octomed-7b '--mesh=fsdp=64,sequence=4' --shards=/mnt/shards
)

# keep_going COMMAND...: run it, and run it again where that can help; return its last exit code.
#   0, 1, 2, 43, 126, 127: it ends. 42: again, not counted. Anything else: again, at most 10 times.
# TERM is passed on to it, and nothing is started after that.
child=
stopping=
tick=${OCTOMED_TICK_SECONDS:-1}
notes=$(mktemp -d) || exit 1
pass_on() {
  [ -n "$child" ] || return 0
  until [ -s "$notes/pid" ] || ! kill -0 "$child" 2>/dev/null; do sleep 0.05; done
  docker stop --time 600 "$name" >/dev/null 2>/dev/null
}
trap 'stopping=1; pass_on' TERM
trap 'rm -rf -- "$notes"' EXIT
keep_going() {
  local code=42 failures=0
  while [ -z "$stopping" ]; do
    docker rm --force "$name" >/dev/null 2>&1
    rm -f -- "$notes/pid" "$notes/code"
    (
      trap : TERM
      bash -c 'echo $$ >"$0/pid" && exec "$@"' "$notes" "$@"
      echo $? >"$notes/code"
    ) &
    child=$!
    [ -z "$stopping" ] || pass_on
    while kill -0 "$child" 2>/dev/null; do sleep "$tick"; done
    child=
    code=137
    [ ! -s "$notes/code" ] || read -r code <"$notes/code"
    ! ended_by_all || stopping=1
    [ -z "$stopping" ] || break
    case $code in
      0 | 1 | 2 | 43 | 126 | 127) return "$code" ;;
      42) echo "octomed launch: exit code 42; starting again, not counted" >&2 ;;
      *)
        failures=$((failures + 1))
        [ "$failures" -le 10 ] || return "$code"
        echo "octomed launch: exit code $code; starting again, $failures of 10" >&2
        ;;
    esac
    for _ in 1 2 3 4 5 6 7 8 9 10; do
      [ -n "$stopping" ] || sleep "$tick"
    done
  done
  return "$code"
}

# `stop`, or the failure of another machine, ends this one too.
(while sleep "${OCTOMED_POLL_SECONDS:-30}"; do
  if ended_by_all; then
    kill -TERM $$
    break
  fi
done) >/dev/null 2>&1 &
watch=$!

keep_going "${trainer[@]}"
code=$?
kill "$watch" 2>/dev/null
echo "octomed launch: $name ended with exit code $code"
case $(current) in
  stop*) echo "$code" | gcloud storage cp - "$(dirname "$state")/stopped/$name" --quiet ;;
  "ended "*) ;;
  *)
    # A bug, wrong input, "stop and look" or too many crashes of one machine end all. That all went well is said by
    # the first one; 42 without `stop` is a machine that is taken away.
    case $code in
      42) ;;
      0) [ "$JAX_PROCESS_ID" -ne 0 ] || tell "ended 0" ;;
      *) tell "ended $code" ;;
    esac
    ;;
esac
