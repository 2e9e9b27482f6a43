"""The text of the local back end's script, with ``@NAME@`` where a job's own values go; ``local.py`` fills it in.

It polls, because POSIX sh cannot wait for whichever of several processes ends first. A rank runs under a small keeper
(the function ``rank``), since only the parent of a process learns its exit code.
"""

SCRIPT = """\
#!/bin/sh
# Rendered by `octomed launch render --backend=local`; change the launch config, not this file.
# Runs @PROCESSES@ process(es) on this machine, each with @DEVICES@ simulated CPU device(s).
# From the root of the project:
#   sh @SCRIPT@         once, in the foreground
#   sh @SCRIPT@ start   in the background, and again where that can help, as a cluster does
#   sh @SCRIPT@ status, stop (lets it save), down (stops it and removes its logs)
#   sh @SCRIPT@ logs LINES RANK   the last LINES (+1: all) of rank RANK (all: of all); with `follow`, as they come
# OCTOMED=COMMAND runs another octomed than the one on PATH; OCTOMED_PORT=N uses another port than @PORT@.
# Exit codes: 0 done, 1 a bug, 2 wrong input or config, 42 try again, 43 stop and look; a killed rank's code otherwise.
set -u
octomed=${OCTOMED:-octomed}
port=${OCTOMED_PORT:-@PORT@}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1
logs=$here/logs
name=@NAME@
processes=@PROCESSES@
grace=@GRACE@
retries=@RETRIES@
attempt=${OCTOMED_ATTEMPT:-1}

say() { echo "octomed launch: $*" >&2; }

# identity PID: what tells a process from a later one of the same number; nothing where it has ended.
identity() {
  if [ -r "/proc/$1/stat" ]; then
    # shellcheck disable=SC2046 # the fields after the name are meant to be split: state, ..., time of its start
    set -- $(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null)
    [ "${1:-Z}" = Z ] || echo "${20}"
  else
    ps -o lstart= -p "$1" 2>/dev/null | tr -d ' '
  fi
}

# note PID FILE, runs FILE: keep which process it is, and ask whether it is still there (as $pid).
note() { echo "$1 $(identity "$1")" >"$2.partial" && mv -- "$2.partial" "$2"; }
runs() {
  pid= born=
  [ -f "$1" ] && read -r pid born <"$1" && [ -n "$born" ] && [ "$(identity "$pid")" = "$born" ]
}

# A rank can outlive what started it, where that was killed.
left_over() {
  i=0
  while [ "$i" -lt "$processes" ]; do
    if runs "$logs/rank-$i.pid"; then return 0; fi
    i=$((i + 1))
  done
  return 1
}

check() {
  if ! command -v "$octomed" >/dev/null 2>&1; then
    say "no command $octomed; activate its environment, or set OCTOMED to it"
    exit 2
  fi
  if [ ! -f @CONFIG@ ]; then
    say "no file "@CONFIG@" here; run this script from the root of the project"
    exit 2
  fi
@SECRETS@@MOUNTS@\
  if runs "$logs/run.pid" || left_over; then
    say "it still runs here as process $pid; stop it first: sh $here/@SCRIPT@ stop"
    exit 42
  fi
  mkdir -p -- "$logs" || exit 2
  rm -f -- "$logs"/rank-* "$logs/run.log" "$logs/exit"
}

# rank I: run one process, and leave its exit code in a file. TERM asks it to stop, USR1 kills it.
rank() {
  child=
  stopping=
  trap 'stopping=TERM; [ -z "$child" ] || kill -TERM "$child" 2>/dev/null' TERM
  trap 'stopping=KILL; [ -z "$child" ] || kill -KILL "$child" 2>/dev/null' USR1
  trap '' INT HUP
@ENVIRONMENT@  JAX_PLATFORMS=cpu \\
    XLA_FLAGS="${XLA_FLAGS:+$XLA_FLAGS }--xla_force_host_platform_device_count=@DEVICES@" \\
    JAX_COORDINATOR_ADDRESS=127.0.0.1:$port \\
    JAX_NUM_PROCESSES=$processes \\
    JAX_PROCESS_ID=$1 \\
    "$octomed" @WORDS@ >>"$logs/rank-$1.log" 2>&1 &
  child=$!
  [ -z "$stopping" ] || kill -s "$stopping" "$child" 2>/dev/null
  note "$child" "$logs/rank-$1.pid"
  wait "$child"
  code=$?
  # A signal to this keeper ends `wait` early, also when the process has just ended and its code is known: ask again.
  while [ "$code" -gt 128 ]; do
    wait "$child"
    again=$?
    [ "$again" -ne 127 ] || break
    [ "$again" -ne "$code" ] || kill -0 "$child" 2>/dev/null || break
    code=$again
  done
  # Only one process can make a file that may not be there yet.
  [ "$code" -eq 0 ] || (set -C && echo "$code" >"$logs/rank-first") 2>/dev/null
  echo "$code" >"$logs/rank-$1.partial"
  mv -- "$logs/rank-$1.partial" "$logs/rank-$1.exit"
}

# shellcheck disable=SC2086 # the list of process ids is meant to be split
signal_all() { kill -s "$1" $keepers 2>/dev/null; }

# What a person must look at comes first, then what trying again can help, then ranks that were only killed.
rate() {
  case $1 in
    0) echo 0 ;;
    43) echo 6 ;;
    2) echo 5 ;;
    1) echo 4 ;;
    @TRY_AGAIN@) echo 2 ;;
    *) if [ "$1" -gt 128 ]; then echo 1; else echo 3; fi ;;
  esac
}

once() {
  rm -f -- "$logs"/rank-first "$logs"/rank-*.exit "$logs"/rank-*.pid
  keepers=
  stop=
  trap 'stop=asked' INT TERM HUP
  i=0
  while [ "$i" -lt "$processes" ]; do
    [ "$attempt" -eq 1 ] || echo "octomed launch: start $attempt" >>"$logs/rank-$i.log"
    rank "$i" &
    keepers="$keepers $!"
    i=$((i + 1))
  done
  say "$processes process(es) started; logs in $logs"

  polls=0
  while :; do
    ended=0
    i=0
    while [ "$i" -lt "$processes" ]; do
      if [ -f "$logs/rank-$i.exit" ]; then
        ended=$((ended + 1))
        read -r code <"$logs/rank-$i.exit"
        if [ "$code" -ne 0 ] && [ -z "$stop" ]; then
          say "rank $i ended with exit code $code; ending the others"
          stop=asked
        fi
      fi
      i=$((i + 1))
    done
    [ "$ended" -lt "$processes" ] || break
    case $stop in
      asked)
        signal_all TERM
        stop=sent
        ;;
      sent)
        polls=$((polls + 1))
        if [ "$polls" -ge $((grace * 5)) ]; then
          say "still running $grace s after being asked to stop; killing"
          signal_all USR1
          stop=killed
        fi
        ;;
    esac
    sleep 0.2
  done
  wait

  worst=0
  i=0
  while [ "$i" -lt "$processes" ]; do
    read -r code <"$logs/rank-$i.exit"
    if [ "$(rate "$code")" -gt "$(rate "$worst")" ]; then
      worst=$code
      guilty=$i
    fi
    i=$((i + 1))
  done
  if [ "$worst" -ne 0 ]; then
    say "exit code $worst from rank $guilty; the end of $logs/rank-$guilty.log:"
    tail -n 20 -- "$logs/rank-$guilty.log" >&2
  else
    say "done; the result is under "@WORKDIR@
  fi
  return "$worst"
}

# leave CODE: the exit code, where `status` finds it.
leave() {
  echo "$1" >"$logs/exit.partial"
  mv -- "$logs/exit.partial" "$logs/exit"
  exit "$1"
}

# Starts again as the exit code asks for. The rank that failed first decides, as the first pod of a JobSet does.
keep() {
  counted=0
  asked=
  run=
  trap 'asked=yes; [ -z "$run" ] || kill -TERM "$run" 2>/dev/null' TERM
  while :; do
    OCTOMED_ATTEMPT=$attempt sh "$here/@SCRIPT@" attempt &
    run=$!
    [ -z "$asked" ] || kill -TERM "$run" 2>/dev/null
    wait "$run"
    code=$?
    while kill -0 "$run" 2>/dev/null; do
      wait "$run"
      code=$?
    done
    [ -z "$asked" ] || leave "$code"
    first=$code
    [ ! -f "$logs/rank-first" ] || read -r first <"$logs/rank-first"
    case $first in
      0 | @FAIL_NOW@) leave "$code" ;;
      @TRY_AGAIN@) say "start $((attempt + 1)), not counted: the first exit code was $first" ;;
      *)
        counted=$((counted + 1))
        if [ "$counted" -gt "$retries" ]; then
          say "no further start: $retries were allowed after a crash"
          leave "$code"
        fi
        say "start $((attempt + 1)), $counted of $retries after a crash: the first exit code was $first"
        ;;
    esac
    attempt=$((attempt + 1))
    sleep 1
    [ -z "$asked" ] || leave "$code"
  done
}

start() {
  nohup sh "$here/@SCRIPT@" keep >>"$logs/run.log" 2>&1 </dev/null &
  note "$!" "$logs/run.pid"
  say "started in the background as process $!; logs in $logs"
}

status() {
  if [ ! -d "$logs" ]; then
    echo "$name: not started here"
    return
  elif runs "$logs/run.pid"; then
    echo "$name: running as process $pid"
  elif left_over; then
    echo "$name: what started its processes was killed, and process $pid still runs; stop it, then start it again"
  elif [ -f "$logs/exit" ]; then
    read -r code <"$logs/exit"
    echo "$name: ended with exit code $code"
  else
    echo "$name: killed; start it again to go on"
  fi
  i=0
  while [ "$i" -lt "$processes" ]; do
    if [ -f "$logs/rank-$i.exit" ]; then
      read -r code <"$logs/rank-$i.exit"
      state="ended with exit code $code"
    elif runs "$logs/rank-$i.pid"; then
      state="process $pid"
    else
      state="not running"
    fi
    echo "rank $i: $state: $(tail -n 1 -- "$logs/rank-$i.log" 2>/dev/null)"
    i=$((i + 1))
  done
}

# show LINES RANK [follow]
show() {
  lines=$1 rank=$2 follow=${3:-}
  if [ "$rank" = all ]; then set -- "$logs"/*.log; else set -- "$logs/rank-$rank.log"; fi
  if [ ! -f "$1" ]; then
    say "no log $1; was it started from here?"
    exit 2
  fi
  if [ -z "$follow" ]; then
    tail -n "$lines" -- "$@"
    return
  fi
  tail -n "$lines" -f -- "$@" &
  shown=$!
  trap 'kill "$shown" 2>/dev/null; exit 130' INT TERM
  while runs "$logs/run.pid"; do sleep 0.5; done
  sleep 1.5 # for the last lines
  kill "$shown" 2>/dev/null
  wait "$shown" 2>/dev/null
  return 0
}

stop() {
  polls=0
  told=
  while runs "$logs/run.pid" || left_over; do
    if [ "$told" != "$pid" ]; then
      say "asking process $pid to stop; it has $grace s to save"
      kill -TERM "$pid" 2>/dev/null
      told=$pid
    fi
    # What started the ranks kills them after the grace. Where it was killed itself, nobody else does.
    polls=$((polls + 1))
    [ "$polls" -lt $((grace * 5 + 25)) ] || kill -KILL "$pid" 2>/dev/null
    sleep 0.2
  done
  status
}

case ${1:-run} in
  run)
    check
    note "$$" "$logs/run.pid"
    once
    leave "$?"
    ;;
  start)
    check
    start
    ;;
  attempt)
    once
    exit "$?"
    ;;
  keep) keep ;;
  status) status ;;
  logs) show "${2:-+1}" "${3:-all}" "${4:-}" ;;
  stop) stop ;;
  down)
    stop
    rm -rf -- "$logs"
    echo "removed $logs"
    ;;
  *)
    say "unknown word $1; one of: start, status, logs, stop, down, or nothing"
    exit 2
    ;;
esac
"""

SECRET = """\
  if [ -z "${@NAME@:-}" ]; then
    say "the environment variable @NAME@ is not set; export it first"
    exit 2
  fi
"""

MOUNT = """\
  if [ ! -d @PATH@ ]; then
    say "no folder @PATH@ here; mount @SOURCE@ there (gcsfuse) or put a copy of it there"
    exit 2
  fi
"""
