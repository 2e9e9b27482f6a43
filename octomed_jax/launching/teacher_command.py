"""What a teacher's node runs: the same command line as ``octomed teacher serve`` gives to vLLM."""

from octomed_jax.launching.spec import Teacher
from octomed_jax.teacher.server.vllm import VllmSettings, command_of

MASTER_PORT = 29500  # where the nodes of one copy meet


class PodSettings(VllmSettings):
    """A server in a container, whose folders are not those of this machine."""

    @property
    def folder(self) -> None:
        """None: vLLM gets the model's name or path as it stands."""
        return None


def vllm_words(teacher: Teacher) -> list[str]:
    """Return the words that start vLLM on one node: ``vllm serve ...``. No word of it is secret."""
    settings = PodSettings(
        model=teacher.model,
        revision=teacher.revision,
        name=teacher.model,
        host="0.0.0.0",
        max_model_len=teacher.max_model_len,
        tensor_parallel_size=teacher.gpus,
        images=teacher.images,
        extra=teacher.extra,
    )
    return command_of("vllm", settings, teacher.port)


def node_words(teacher: Teacher, rank: str, first: str) -> list[str]:
    """Return the words for one of the nodes that take a copy together, each a stage of its layers.

    Args:
        teacher: of more than one node.
        rank: of the node; only the first, 0, has the endpoint.
        first: address of the first node.
    """
    words = ["--pipeline-parallel-size", str(teacher.nodes), "--nnodes", str(teacher.nodes), "--node-rank", rank]
    words += ["--master-addr", first, "--master-port", str(MASTER_PORT)]
    return [*vllm_words(teacher), *words, *([] if rank == "0" else ["--headless"])]
