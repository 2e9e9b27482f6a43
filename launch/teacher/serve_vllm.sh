#!/bin/sh
# Starts vLLM's OpenAI server for a teacher, and says so only when it has really answered; see --help.
set -eu

usage() {
  cat <<'TEXT'
usage: serve_vllm.sh --model MODEL [options] [-- more options for vllm serve]

Serves a teacher (Qwen2.5-VL, DeepSeek-R1 or one of its distillations) over the OpenAI protocol, waits until it has
generated a token, prints the line `teacher ready: URL`, and stays until the server ends or is asked to end.

  --model MODEL          Hugging Face name or folder
  --name NAME            name under which it is served (default: the model's)
  --host HOST            address to listen on (default 127.0.0.1; 0.0.0.0 where the trainer is another machine)
  --port PORT            default 8000
  --images N             images a question may have, for a model with VL in its name (default 10; vLLM's own is 1)
  --max-pixels N         largest image after resizing (default 262144, the paper's 512 x 512)
  --max-length N         tokens of prompt and response together (default 16384)
  --gpus N               tensor parallel size (default 1)
  --reasoning-parser P   how thinking is told from the answer (default deepseek_r1 for a model with R1 in its name,
                         none otherwise)
  --wait SECONDS         give up when no token came in that time (default 1800: weights are downloaded first)

An API key is read from the environment variable VLLM_API_KEY, by the server as well; it is never on a command line.
VLLM=COMMAND runs another vllm than the one on PATH.
Exit codes: 0 ended when asked to, 2 wrong options, 42 no token in time or the server ended by itself.

example:
  serve_vllm.sh --model Qwen/Qwen2.5-VL-72B-Instruct --gpus 8 --host 0.0.0.0
TEXT
}

fail() {
  echo "serve_vllm: $1" >&2
  exit 2
}

whole() {
  case $2 in
    '' | *[!0-9]* | 0*) fail "$1 needs a whole number, not '$2'" ;;
  esac
}

model='' name='' host=127.0.0.1 port=8000 images=10 max_pixels=262144 max_length=16384 gpus=1 parser='' seconds=1800
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help)
      usage
      exit 0
      ;;
    --)
      shift
      break
      ;;
    --*=*)
      option=${1%%=*}
      value=${1#*=}
      shift
      set -- "$option" "$value" "$@"
      continue
      ;;
    --model | --name | --host | --port | --images | --max-pixels | --max-length | --gpus | --reasoning-parser | --wait)
      [ $# -ge 2 ] || fail "$1 needs a value; --help shows the options"
      case $1 in
        --model) model=$2 ;;
        --name) name=$2 ;;
        --host) host=$2 ;;
        --port) whole "$1" "$2"; port=$2 ;;
        --images) whole "$1" "$2"; images=$2 ;;
        --max-pixels) whole "$1" "$2"; max_pixels=$2 ;;
        --max-length) whole "$1" "$2"; max_length=$2 ;;
        --gpus) whole "$1" "$2"; gpus=$2 ;;
        --reasoning-parser) parser=$2 ;;
        --wait) whole "$1" "$2"; seconds=$2 ;;
      esac
      shift 2
      ;;
    *) fail "unknown option '$1'; --help shows the options, and what follows -- goes to vllm" ;;
  esac
done
[ -n "$model" ] || fail "--model is missing; --help shows the options"
vllm=${VLLM:-vllm}
command -v "$vllm" >/dev/null 2>&1 || fail "no command $vllm; install it with pip install 'octomed-jax[teacher]'"
command -v curl >/dev/null 2>&1 || fail "no command curl; install it"
name=${name:-$model}
case $name in
  *[\"\\]*) fail "--name may hold no quotes or backslashes" ;;
esac

# The caller's own options stay last, so that they win.
case $model in
  *VL* | *vl*)
    set -- --limit-mm-per-prompt "{\"image\": $images}" --mm-processor-kwargs "{\"max_pixels\": $max_pixels}" "$@"
    ;;
esac
case $model in
  *R1* | *r1*) parser=${parser:-deepseek_r1} ;;
esac
[ -z "$parser" ] || set -- --reasoning-parser "$parser" "$@"
set -- serve "$model" --served-model-name "$name" --host "$host" --port "$port" \
  --max-model-len "$max_length" --tensor-parallel-size "$gpus" "$@"

"$vllm" "$@" &
server=$!
asked=
trap 'asked=1; kill "$server" 2>/dev/null || true' INT TERM

# A listening server may still hang: only a generated token counts. The key goes to curl through a pipe.
one_token() {
  if [ -n "${VLLM_API_KEY:-}" ]; then
    printf 'header = "Authorization: Bearer %s"\n' "$VLLM_API_KEY"
  fi | curl --config - --silent --fail --max-time 60 -H 'Content-Type: application/json' \
    -d "{\"model\": \"$name\", \"max_tokens\": 1, \"messages\": [{\"role\": \"user\", \"content\": \"1+1=\"}]}" \
    "http://$address:$port/v1/chat/completions" | grep -q '"completion_tokens": *[1-9]'
}

address=$host
[ "$host" != 0.0.0.0 ] || address=127.0.0.1
limit=$(($(date +%s) + seconds))
until one_token; do
  [ -z "$asked" ] || break
  if ! kill -0 "$server" 2>/dev/null; then
    wait "$server" || true
    echo "serve_vllm: vllm ended before it answered; its last lines say why" >&2
    exit 42
  fi
  if [ "$(date +%s)" -ge "$limit" ]; then
    echo "serve_vllm: no token from $name in $seconds s; look at vllm's log, or raise --wait" >&2
    kill "$server" 2>/dev/null || true
    wait "$server" || true
    exit 42
  fi
  sleep 1
done
[ -n "$asked" ] || echo "teacher ready: http://$address:$port/v1 (model $name)"

code=0
wait "$server" || code=$?
# A signal to this script ends `wait` early.
while kill -0 "$server" 2>/dev/null; do
  wait "$server" || code=$?
done
[ -z "$asked" ] || exit 0
echo "serve_vllm: vllm ended with exit code $code" >&2
exit 42
