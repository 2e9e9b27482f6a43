"""A teacher on this machine: what ``octomed teacher serve`` starts vLLM with.

``octomed teacher serve --config=configs/launch/teacher_vllm.py --model=Qwen/Qwen2.5-VL-72B-Instruct
--tensor-parallel-size=8``. As it is, it serves a vision-language model; ``teacher_vllm.py:text`` a reasoning model of
text; ``teacher_vllm.py:cpu`` is the small set-up for a machine without a GPU, for trying things out.
"""

from ml_collections import ConfigDict


def get_config(arg: str | None = None) -> ConfigDict:
    """Return the server; ``arg`` is empty, ``text`` or ``cpu``. More on a field: octomed_jax/teacher/server/vllm.py."""
    if arg not in (None, "", "text", "cpu"):
        raise ValueError(f"teacher_vllm.py knows no variant {arg!r}; use teacher_vllm.py, :text or :cpu")
    config = ConfigDict()
    config.vllm = "vllm"  # the executable, as a name on PATH or a path; it may be in an environment of its own
    config.model = "Qwen/Qwen2.5-VL-7B-Instruct"  # a name of the hub, or a folder
    config.revision = ""  # branch, tag or commit; empty: the newest. Name a commit where attempts shall be repeatable
    config.name = ""  # what requests call it; empty: the model's name, of a folder its last part
    config.host = "127.0.0.1"  # 0.0.0.0 where `octomed distill` runs on another machine
    config.port = 8000  # 0: a free one
    config.api_key_env = ""  # NAME of the environment variable with the key that the server asks for; empty: none
    config.environment = ()  # NAMES of further variables that vLLM gets, such as HF_TOKEN for a gated model
    config.cpu = False  # the small set-up for a CPU
    config.dtype = "auto"
    config.max_model_len = 16384  # tokens of prompt and response together; 0: as many as the model was made for
    config.tensor_parallel_size = 1  # GPUs that hold one copy of the model
    config.data_parallel_size = 1  # copies of the model; the GPUs needed are the product of the two
    config.max_num_seqs = 0  # responses that are written at once; 0: vLLM's own choice
    config.gpu_memory_utilization = 0.0  # share of a GPU's memory; 0: vLLM's own choice
    config.images = 10  # that a question may have; 0: text only
    config.max_pixels = 262144  # of an image after resizing (the paper's 512 x 512); 0: the model's own limit
    config.reasoning_parser = ""  # how a thought is told from the answer: deepseek_r1, qwen3, ...; empty: not at all
    config.extra = ()  # further words for `vllm serve`; also what follows -- on the command line
    config.start_seconds = 1800.0  # for the first token; weights may have to be downloaded
    # One token is asked for every so often. A server that gives none in time, nor any other token meanwhile, so many
    # tries in a row is ended with exit code 42.
    config.liveness = ConfigDict({"every_seconds": 60.0, "timeout_seconds": 60.0, "tries": 5})
    config.log = ""  # for all that vLLM prints, overwritten; empty: runs/teacher/vllm-PORT.log
    if arg == "text":
        config.model = "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B"
        config.images, config.max_pixels = 0, 0
        config.reasoning_parser = "deepseek_r1"
    if arg == "cpu":
        config.model = "HuggingFaceTB/SmolLM2-135M-Instruct"
        config.cpu = True
        config.max_model_len = 2048
        config.images, config.max_pixels = 0, 0
    return config
