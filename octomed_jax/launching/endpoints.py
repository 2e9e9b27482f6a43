"""Where a job's teacher answers: known from its spec before it is started, and told to the job by two variables."""

import dataclasses
import os
from collections.abc import Mapping

from ml_collections import ConfigDict

from octomed_jax.errors import UserError
from octomed_jax.launching.spec import JobSpec
from octomed_jax.teacher.server.vllm import KEY

MODEL = "OCTOMED_TEACHER_MODEL"
ENDPOINTS = "OCTOMED_TEACHER_ENDPOINTS"  # with commas between them
TEACHER_ENVIRONMENT = (MODEL, ENDPOINTS)


@dataclasses.dataclass(frozen=True)
class Served:
    """A teacher that a launch runs.

    Attributes:
        model: its name there.
        endpoints: one for each copy.
        api_key_env: NAME of the variable with the key that it asks for; empty: none.
    """

    model: str
    endpoints: tuple[str, ...]
    api_key_env: str = ""


def service_names(spec: JobSpec) -> list[str]:
    """Return the names of the teacher's services, one for each copy of the model."""
    return [f"{spec.name}-teacher-{copy}" for copy in range(spec.teacher.replicas)] if spec.teacher else []


def served(spec: JobSpec) -> Served | None:
    """Return the teacher of a spec as its pods find it; None where it has none."""
    if not spec.teacher:
        return None
    urls = (f"http://{name}.{spec.namespace}.svc:{spec.teacher.port}" for name in service_names(spec))
    return Served(spec.teacher.model, tuple(urls), KEY if KEY in spec.teacher.secrets else "")


def environment_of(teacher: Served) -> dict[str, str]:
    """Return the variables that tell a job where its teacher is."""
    return {MODEL: teacher.model, ENDPOINTS: ",".join(teacher.endpoints)}


def from_environment(environment: Mapping[str, str] = os.environ) -> Served | None:
    """Return what the variables say; None where they are not set.

    Raises:
        UserError: only one of the two is set.
    """
    model, endpoints = environment.get(MODEL, ""), environment.get(ENDPOINTS, "")
    if bool(model) != bool(endpoints):
        raise UserError(f"{MODEL}={model!r} and {ENDPOINTS}={endpoints!r} go together; set both or neither")
    if not model:
        return None
    return Served(model, tuple(endpoints.split(",")), KEY if environment.get(KEY) else "")


def fill_in(settings: ConfigDict, teacher: Served) -> None:
    """Give the endpoints to those teachers of ``config.distill`` that ask for this model.

    Raises:
        UserError: none does; or one was approved for credentialed questions at other endpoints.
    """
    asking = [name for name in sorted(settings.teachers.keys()) if settings.teachers[name].model == teacher.model]
    if not asking:
        models = ", ".join(f"{name}: {settings.teachers[name].model}" for name in sorted(settings.teachers.keys()))
        raise UserError(
            f"the launch serves {teacher.model}, which no teacher of config.distill.teachers asks for ({models}); "
            "set the model of one to it"
        )
    for name in asking:
        fields = settings.teachers[name]
        beyond = [access for access in fields.approved_access if access != "open"]
        if beyond and tuple(fields.endpoints) not in ((), teacher.endpoints):
            raise UserError(
                f"config.distill.teachers.{name} approves {', '.join(beyond)} for {', '.join(fields.endpoints)}, and "
                "the launch has others; set its endpoints to () where the approval is meant for those"
            )
        fields.endpoints = teacher.endpoints
        fields.api_key_env = fields.api_key_env or teacher.api_key_env
