#!/bin/bash
# Rendered by `octomed launch render --backend=xpk`; change the launch config, not this file.
# `bash xpk.sh --dry-run --output-manifest-file=FILE` shows the JobSet that xpk 1.16 makes of it.
exec xpk workload create \
  --cluster=your-cluster \
  --project=your-project \
  --zone=us-west4-a \
  --workload=octomed-7b \
  --tpu-type=v5litepod-256 \
  --num-slices=1 \
  --docker-image=us-docker.pkg.dev/your-project/octomed/trainer:0.1.0 \
  --max-restarts=10 \
  --termination-grace-period-seconds=600 \
  --priority=medium \
  --spot \
  --env=JAX_COMPILATION_CACHE_DIR=gs://YOUR_BUCKET/jax-cache \
  '--command=exec bash -c $$'"'"'child=\nstopping=\ntick=$${OCTOMED_TICK_SECONDS:-1}\nnotes=$$(mktemp -d) || exit 1\npass_on() {\n  [ -n "$$child" ] || return 0\n  until [ -s "$$notes/pid" ] || ! kill -0 "$$child" 2>/dev/null; do sleep 0.05; done\n  kill -TERM "$$(cat "$$notes/pid")" 2>/dev/null\n}\ntrap \'"'"'stopping=1; pass_on\'"'"' TERM\ntrap \'"'"'rm -rf -- "$$notes"\'"'"' EXIT\nkeep_going() {\n  local code=42 failures=0\n  while [ -z "$$stopping" ]; do\n    [ -d /mnt/shards ] || { echo "octomed launch: no folder /mnt/shards in this pod; attach gs://YOUR_BUCKET/octomed-7b/shards to the cluster first: xpk storage attach (docs/launch-xpk.md)" >&2; exit 2; }\n    rm -f -- "$$notes/pid" "$$notes/code"\n    (\n      trap : TERM\n      bash -c \'"'"'echo $$$$ >"$$0/pid" && exec "$$@"\'"'"' "$$notes" "$$@"\n      echo $$? >"$$notes/code"\n    ) &\n    child=$$!\n    [ -z "$$stopping" ] || pass_on\n    while kill -0 "$$child" 2>/dev/null; do sleep "$$tick"; done\n    child=\n    code=137\n    [ ! -s "$$notes/code" ] || read -r code <"$$notes/code"\n    [ "$$code" -ne 127 ] || code=126\n    [ -z "$$stopping" ] || break\n    case $$code in\n      0 | 1 | 2 | 43 | 126 | 127) return "$$code" ;;\n      42) echo "octomed launch: exit code 42; starting again, not counted" >&2 ;;\n      *)\n        failures=$$((failures + 1))\n        [ "$$failures" -le 0 ] || return "$$code"\n        echo "octomed launch: exit code $$code; starting again, $$failures of 0" >&2\n        ;;\n    esac\n    for _ in 1 2 3 4 5 6 7 8 9 10; do\n      [ -n "$$stopping" ] || sleep "$$tick"\n    done\n  done\n  return "$$code"\n}\nkeep_going "$$@"\n'"'"' octomed octomed train --config=configs/octomed_7b.py --config.run=gs://YOUR_BUCKET/octomed-7b --mesh=fsdp=64,sequence=4 --shards=/mnt/shards' "$@"
