"""Folders of buckets in a pod, by GKE's Cloud Storage FUSE driver: a volume each, which GKE serves from a sidecar.

The cluster needs the driver (add-on ``GcsFuseCsiDriver``) and GKE 1.29 or newer, where the sidecar ends after the
trainer, and not before or never. The pod's service account reads the bucket.
"""

from collections.abc import Sequence
from typing import Any

from octomed_jax.launching.backends.kubernetes import CORE, model
from octomed_jax.launching.mounts import CACHE_MIB, Mount

DRIVER = "gcsfuse.csi.storage.gke.io"
# Of the sidecar of all mounts. It has little by default, and a training waits for what it reads: ours, to be measured.
CPU, MEMORY = "4", "4Gi"
ROOM_MIB = 5 * 1024  # on its disk, besides the cache


def annotations(mounts: Sequence[Mount]) -> dict[str, str] | None:
    """Return what a pod must say so that GKE puts the sidecar into it; None: it has no mounts."""
    if not mounts:
        return None
    return {
        "gke-gcsfuse/volumes": "true",
        "gke-gcsfuse/cpu-limit": CPU,
        "gke-gcsfuse/memory-limit": MEMORY,
        "gke-gcsfuse/ephemeral-storage-limit": f"{len(mounts) * CACHE_MIB + ROOM_MIB}Mi",
    }


def volumes(mounts: Sequence[Mount]) -> list[Any] | None:
    """Return the volumes of a pod; None: it has no mounts."""
    return [
        model(
            f"{CORE}Volume",
            name=_name(number),
            csi=model(
                f"{CORE}CSIVolumeSource",
                driver=DRIVER,
                readOnly=True,
                volumeAttributes={"bucketName": mount.bucket, "mountOptions": ",".join(_options(mount))},
            ),
        )
        for number, mount in enumerate(mounts)
    ] or None


def volume_mounts(mounts: Sequence[Mount]) -> list[Any] | None:
    """Return where the container sees the volumes; None: it has no mounts."""
    return [
        model(f"{CORE}VolumeMount", name=_name(number), mountPath=mount.path, readOnly=True)
        for number, mount in enumerate(mounts)
    ] or None


def _name(number: int) -> str:
    return f"mount-{number}"


def _options(mount: Mount) -> list[str]:
    """Return gcsfuse's options. Records are read one here, one there: a file is fetched whole where one of it is."""
    folder = [f"only-dir={mount.folder}"] if mount.folder else []
    cache = [f"file-cache:max-size-mb:{CACHE_MIB}", "file-cache:cache-file-for-range-read:true"]
    return ["implicit-dirs", *folder, *cache]
