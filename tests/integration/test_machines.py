"""Test machines are what they claim to be, and nothing of them is left when the test is killed."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sendproof_testing.machines import OWN_ADDRESS, Network, running_network

pytestmark = [pytest.mark.integration]

TWO_MACHINES = """
    import sys, time
    from sendproof_testing.machines import running_network

    with running_network() as network:
        edge = network.start("edge.relay.example", "198.51.100.11")
        print(edge.pid, network._folder, edge._cgroup, flush=True)
        time.sleep(600)
"""


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with running_network() as running:
        running.start("edge1.relay.example", "198.51.100.11")
        running.start("edge2.relay.example", "198.51.100.12")
        yield running


def test_a_machine_is_a_debian_with_systemd_and_a_name_of_its_own(network: Network) -> None:
    edge = network.machines["edge1.relay.example"]
    assert edge.run("hostname", "-f").stdout.strip() == "edge1.relay.example"
    assert edge.run("systemctl", "is-system-running").stdout.strip() == "running"
    assert edge.run("ps", "-o", "comm=", "1").stdout.strip() == "systemd"


def test_machines_and_the_test_reach_each_other_and_nothing_else(network: Network) -> None:
    edge = network.machines["edge1.relay.example"]
    greeting = "exec 3<>/dev/tcp/edge2.relay.example/22 && head -1 <&3"
    assert edge.run("bash", "-c", greeting).stdout.startswith("SSH-2.0")
    assert network.run("bash", "-c", greeting.replace("edge2.relay.example", edge.address)).stdout.startswith("SSH-2.0")
    routes = edge.run("ip", "route").stdout
    assert "default" not in routes
    assert OWN_ADDRESS.rpartition(".")[0] in routes


def test_what_one_machine_installs_no_other_has(network: Network) -> None:
    edge, other = network.machines.values()
    edge.install("logrotate")
    assert edge.run("which", "logrotate").returncode == 0
    assert other.run("which", "logrotate", check=False).returncode == 1


def test_a_unit_is_confined_as_it_says(network: Network) -> None:
    edge = network.machines["edge2.relay.example"]
    words = ["systemd-run", "--wait", "--pipe", "-p", "User=nobody", "-p", "ProtectSystem=strict"]
    assert edge.run(*words, "id", "-un").stdout.splitlines()[1] == "nobody"
    assert edge.run(*words, "touch", "/etc/x", check=False).returncode != 0


def test_a_killed_test_leaves_no_process_mount_or_control_group() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(TWO_MACHINES)], stdout=subprocess.PIPE, text=True
    ) as test:
        assert test.stdout
        pid, folder, cgroup = test.stdout.readline().split()
        test.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()
    assert folder not in Path("/proc/self/mounts").read_text()
    procs = Path(cgroup) / "cgroup.procs"
    assert not procs.exists() or procs.read_text() == ""
    # What a killed process cannot remove: its empty folders.
    subprocess.run(["rm", "-r", "--one-file-system", folder], check=True)
    for found, _folders, _files in os.walk(cgroup, topdown=False):
        Path(found).rmdir()
