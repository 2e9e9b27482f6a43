"""Reports of hosts, spread by the devices. That eight devices belong to two hosts is made up here."""

import numpy as np

from octomed_jax.models.mesh import make_mesh
from octomed_jax.training.hosts import WINDOW, HostReports, host_names


def test_this_host_is_named():
    import socket

    assert host_names() == [f"{socket.gethostname()} (process 0)"]


def test_a_report_comes_back_whole():
    reports = HostReports(make_mesh({"data": 2, "fsdp": 4}), ["one"])
    sent = reports.send(0.25, 3, True)
    assert sent.is_fully_replicated
    np.testing.assert_array_equal(np.asarray(sent), [[0.25, 3, 1]] * 8)
    assert reports.read(sent) == 3


def two_hosts() -> HostReports:
    reports = HostReports(make_mesh({"fsdp": 8}), ["north", "south"])
    reports._processes = np.repeat([0, 1], 4)
    return reports


def test_a_host_that_is_slow_for_long_is_named_once_a_window(capfd):
    reports = two_hosts()
    for _ in range(WINDOW):
        assert reports.read(np.repeat([[0.1, 0.0, 0.0], [0.9, 1.0, 1.0]], 4, axis=0)) == 1
    said = capfd.readouterr().err
    assert said.count("keeps the others waiting") == 1
    assert "south keeps the others waiting: it takes 0.90 s a step" in said.replace("\n", " ")


def test_one_slow_step_is_no_slow_host(capfd):
    reports = two_hosts()
    for step in range(2 * WINDOW):
        reports.read(np.repeat([[0.1, 0.0, 1.0], [5.0 if step % WINDOW == 3 else 0.1, 0.0, 1.0]], 4, axis=0))
    assert "waiting" not in capfd.readouterr().err


def test_a_host_whose_rows_come_before_the_devices_need_them_keeps_nobody_waiting(capfd):
    reports = two_hosts()
    for step in range(WINDOW):
        reports.read(np.repeat([[0.1, 0.0, 1.0], [0.9, 0.0, step % 2]], 4, axis=0))
    assert "waiting" not in capfd.readouterr().err
