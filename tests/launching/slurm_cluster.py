"""A Slurm of two nodes on this machine: its own controller and its own daemons, of the packages unpacked by make."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UNPACKED = ROOT / ".tools/slurm/root"
READY = (UNPACKED.parent / ".ready").exists()
DAEMONS = {"slurmctld": "slurmctld-wlm", "slurmd": "slurmd-wlm", "slurmstepd": "slurmstepd-wlm"}

# Without accounting and without keys: all of it is this user's, on loopback.
CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
PluginDir={plugins}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
KillWait=5
NodeName=n0 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1
PartitionName=main Nodes=n0,n1 Default=YES State=UP
"""


class Cluster:
    """Starts the daemons; ``close`` ends them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        libraries = UNPACKED / "usr/lib/x86_64-linux-gnu"
        plugins = next(libraries.parent.glob("*/slurm-wlm"))
        (folder / "state").mkdir(parents=True)
        config = CONFIG.format(
            host=socket.gethostname(), user=getpass.getuser(), ports=_ports(3), plugins=plugins, folder=folder
        )
        (folder / "slurm.conf").write_text(config)
        self.environment = {
            **os.environ,
            "SLURM_CONF": str(folder / "slurm.conf"),
            "LD_LIBRARY_PATH": f"{plugins.parent}:{plugins}",
            "PATH": f"{UNPACKED / 'usr/bin'}:{os.environ['PATH']}",
        }
        programs = UNPACKED / "usr/sbin"
        step = ["-d", str(programs / DAEMONS["slurmstepd"])]
        self._daemons = [self._daemon("slurmctld", [str(programs / DAEMONS["slurmctld"]), "-D", "-c"])]
        for node in ("n0", "n1"):
            words = [str(programs / DAEMONS["slurmd"]), "-D", "-N", node, *step]
            self._daemons.append(self._daemon(node, words))
        self.until(lambda: self.run("sinfo", "--noheader", "--format=%D %T") == "2 idle")

    def _daemon(self, name: str, words: list[str]) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{name}.log").open("wb")
        return subprocess.Popen(words, env=self.environment, stdout=log, stderr=log, start_new_session=True)

    def run(self, *words: str) -> str:
        """Return what a command of Slurm prints; an error of it is raised."""
        found = shutil.which(words[0], path=self.environment["PATH"])
        assert found, words[0]
        read = subprocess.run([found, *words[1:]], env=self.environment, capture_output=True, text=True, timeout=60)
        if read.returncode:
            raise RuntimeError(read.stderr.strip())
        return read.stdout.strip()

    def job(self, number: str) -> dict[str, str]:
        """Return what Slurm knows of a job."""
        words = self.run("scontrol", "--oneliner", "show", "job", number).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def until(self, there, seconds: float = 60) -> None:
        """Wait until ``there()`` is true."""
        deadline = time.monotonic() + seconds
        while not there():
            if time.monotonic() > deadline:
                logs = "\n".join(path.read_text()[-2000:] for path in sorted(self.folder.glob("*.log")))
                raise AssertionError(f"it did not come\n{logs}")
            time.sleep(0.2)

    def close(self) -> None:
        """End the daemons."""
        for daemon in reversed(self._daemons):
            daemon.send_signal(signal.SIGTERM)
        for daemon in self._daemons:
            daemon.wait(timeout=30)


def _ports(number: int) -> list[int]:
    probes = [socket.socket() for _ in range(number)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
