"""What a job is, whatever runs it: plain data that every back end renders from."""

import dataclasses
import re
from collections.abc import Mapping

from octomed_jax.launching.accelerators import ACCELERATORS

# What a user replaces in a sample config; clouds take no capitals in the names of the latter.
PLACEHOLDER = re.compile(r"YOUR_[A-Z_]+|\byour-(?:project|cluster)\b")
SHARED = ("distill",)  # verbs of which hosts without chips each do a share: --shard=I/N
PLANNED = ("mesh", "shards")  # options of `octomed train` that `octomed plan` has too


@dataclasses.dataclass(frozen=True)
class Command:
    """One ``octomed`` command line: ``octomed VERB --config=CONFIG --config.OVERRIDE... --OPTION...``.

    Attributes:
        verb: what to do, with its subverb where it has one, such as ``train`` or ``eval run``.
        config: config file of the run, ``FILE.py[:arg]``, from the root of the project.
        overrides: ``a.b=value``, each for ``--config.a.b=value``.
        options: ``name=value``, each for ``--name=value``; a flag is its name alone.
    """

    verb: str
    config: str
    overrides: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Secret:
    """Where the value of an environment variable is kept: its names only, never the value."""

    secret: str
    key: str


@dataclasses.dataclass(frozen=True)
class Teacher:
    """vLLM on GPU machines, for a job that asks it while it runs.

    Attributes:
        model: name of the hub, or a folder of the image or bucket.
        revision: commit of the model; empty: the newest.
        image: vLLM's image with a fixed tag or digest.
        accelerator: key of ACCELERATORS, a GPU.
        gpus: of one node that one copy of the model takes.
        nodes: that one copy of the model takes together; more than one needs LeaderWorkerSet.
        replicas: copies of the model, each an endpoint.
        max_model_len: tokens of prompt and response together.
        images: that a question may have.
        port: of the endpoint.
        extra: further words for ``vllm serve``.
        secrets: environment variable name to where its value is kept.
    """

    model: str
    image: str
    revision: str = ""
    accelerator: str = "h100"
    gpus: int = 8
    nodes: int = 1
    replicas: int = 1
    max_model_len: int = 16384
    images: int = 10
    port: int = 8000
    extra: tuple[str, ...] = ()
    secrets: Mapping[str, Secret] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class JobSpec:
    """A job, checked. Which back end needs which field is on its page in launch/.

    Attributes:
        name: DNS label; the JobSet, its pods and its service are named after it.
        accelerator: key of ACCELERATORS.
        topology: chips along each axis of a slice, such as ``16x16``.
        slices: how many slices work together.
        capacity: one of CAPACITIES.
        reservation: name of the reservation, for ``reserved``.
        image: container image with a fixed tag or digest.
        bundle: folder or archive with the project, for back ends that send code in place of an image.
        command: what every process runs.
        workdir: folder of the run (``config.run``); a bucket for anything but this machine.
        environment: plain settings, no secrets.
        mounts: absolute path to a folder of a bucket (``gs://BUCKET/FOLDER``) that is seen there, to be read only; the
            shards of `octomed train`, for one, which reads them from a disk or a mount.
        secrets: environment variable name to where its value is kept.
        service_account: Kubernetes service account that may write the bucket.
        retries: restarts allowed after a failure that is neither ours nor the user's (killed, node lost in mid-step).
        grace_seconds: seconds between the request to stop and the kill; more than a checkpoint takes to save. 0 in a
            config: twice what the slowest checkpoint in ``workdir`` took, and half a minute.
        priority: Kubernetes priority class, or Slurm's quality of service.
        project, zone, cluster, namespace: where the job runs, as the cloud names it.
        partition, account: of Slurm.
        hours: that the job may take; limits it where the back end has limits, and is what its cost is reckoned with.
        teacher: vLLM beside the job; None: none.
        processes, devices, port: for this machine: processes, simulated devices of each, port of the first one.
    """

    name: str
    command: Command
    workdir: str
    accelerator: str = "v5e"
    topology: str = "2x2"
    slices: int = 1
    capacity: str = "on_demand"
    reservation: str = ""
    image: str = ""
    bundle: str = ""
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    mounts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    secrets: Mapping[str, Secret] = dataclasses.field(default_factory=dict)
    service_account: str = ""
    retries: int = 3
    grace_seconds: int = 300
    priority: str = ""
    project: str = ""
    zone: str = ""
    cluster: str = ""
    namespace: str = "default"
    partition: str = ""
    account: str = ""
    hours: int = 24
    teacher: Teacher | None = None
    processes: int = 1
    devices: int = 1
    port: int = 12421

    @property
    def hosts(self) -> int:
        """Hosts of one slice."""
        return ACCELERATORS[self.accelerator].hosts[self.topology]

    @property
    def chips(self) -> int:
        """Chips of all slices."""
        return self.slices * self.hosts * ACCELERATORS[self.accelerator].chips_per_host

    def words(self) -> list[str]:
        """The words after ``octomed`` that every process runs."""
        overrides = [f"--config.{override}" for override in (f"run={self.workdir}", *self.command.overrides)]
        options = [f"--{option}" for option in self.command.options]
        return [*self.command.verb.split(), f"--config={self.command.config}", *overrides, *options]


def plan_words(spec: JobSpec) -> list[str]:
    """Return the words after ``octomed`` that plan a job's training for its chips; none for what trains nothing."""
    command = spec.command
    if command.verb != "train":
        return []
    topology = spec.topology if ACCELERATORS[spec.accelerator].is_tpu else spec.chips
    words = ["plan", f"--config={command.config}", *[f"--config.{override}" for override in command.overrides]]
    words += [f"--topology={spec.accelerator}:{topology}", *([f"--slices={spec.slices}"] if spec.slices > 1 else [])]
    return words + [f"--{option}" for option in command.options if _planned(option, spec)]


def _planned(option: str, spec: JobSpec) -> bool:
    """Whether an option is one of `octomed plan` too. Shards of a mount are not on the machine that plans."""
    name, _, value = option.partition("=")
    mounted = any(value.rstrip("/") == path or value.startswith(f"{path}/") for path in spec.mounts)
    return name in PLANNED and not (name == "shards" and mounted)
