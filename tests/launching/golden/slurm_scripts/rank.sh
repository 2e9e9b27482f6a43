#!/bin/bash
# Rendered by `octomed launch render --backend=slurm`; one process of the job, started on each node by job.sbatch.
#   bash rank.sh FOLDER FIRST_NODE
set -u
folder=$1
rank=$SLURM_PROCID
octomed=/YOUR_SHARED_FOLDER/octomed_jax/.venv/bin/octomed
ended() {
  echo "$1" >"$folder/logs/rank-$rank.partial" && mv -- "$folder/logs/rank-$rank.partial" "$folder/logs/rank-$rank.exit"
  exit "$1"
}
cd -- /YOUR_SHARED_FOLDER/octomed_jax || ended 2
secret=${OCTOMED_SECRETS:-$HOME/.config/octomed/secrets}/octomed/hf_token
if [ ! -s "$secret" ]; then
  echo "octomed launch: no file $secret with the value of HF_TOKEN; write it there, readable by you alone" >&2
  ended 2
fi
HF_TOKEN=$(cat -- "$secret") || ended 2
export HF_TOKEN

stopping=
# Slurm sends TERM to all processes of a group: to the command below too, but not to a teacher, which is needed longer.
trap 'stopping=1' TERM
ready=$folder/logs/teacher-$rank.ready
rm -f -- "$ready"
setsid "$octomed" teacher serve --config=configs/launch/teacher_vllm.py --model=Qwen/Qwen2.5-VL-72B-Instruct --config.revision= --config.max_model_len=16384 --images=10 --tensor-parallel-size=8 --data-parallel-size=1 --port=8000 --vllm=/YOUR_SHARED_FOLDER/octomed_jax/.venv-vllm/bin/vllm --json '--config.environment=('"'"'HF_TOKEN'"'"',)' --log="$folder/logs/teacher-$rank.log" >"$ready" &
teacher=$!
until [ -s "$ready" ]; do
  if ! kill -0 "$teacher" 2>/dev/null || [ -n "$stopping" ]; then
    kill -TERM "$teacher" 2>/dev/null
    wait "$teacher"
    code=$?
    [ "$code" -ne 0 ] || code=42
    echo "octomed launch: the teacher ended with exit code $code before it was ready" >&2
    ended "$code"
  fi
  sleep 1
done
[ -z "$stopping" ] || ended 42
"$octomed" distill --config=configs/octomed_7b.py --config.run=/YOUR_SHARED_FOLDER/runs/octomed-7b --endpoint=http://127.0.0.1:8000 --model=Qwen/Qwen2.5-VL-72B-Instruct --shard="$rank/$SLURM_NTASKS"
code=$?
kill -TERM "$teacher" 2>/dev/null
wait "$teacher" 2>/dev/null
ended "$code"
