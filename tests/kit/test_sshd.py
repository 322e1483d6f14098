"""A kit goes through a real sshd of this machine, which starts programs with an environment of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.kit.brought import brought
from pipeline.kit.host import Host, measure_on
from tests.kit.conftest import Ran
from tests.ports import free_port

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(SSHD is None, reason="there is no sshd here")]
DAEMON = """
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/mine.pub
PidFile none
PermitRootLogin yes
StrictModes no
Subsystem sftp internal-sftp
SetEnv TMPDIR={there}
"""
CLIENT = """
Host pi
  HostName 127.0.0.1
  Port {port}
  User {user}
  IdentityFile {folder}/{key}
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known
  StrictHostKeyChecking accept-new
"""
PROGRAM = '#!/bin/sh\nexec {program} -F {folder}/client "$@"\n'


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Starts sshd, makes ``pi`` a name of this machine, and gives the folder for temporary files there."""
    assert SSHD is not None
    place = tmp_path / "there"
    place.mkdir()
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd asks for it where root starts it
    for name in ("host", "mine", "foreign"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    port = free_port()
    (tmp_path / "daemon").write_text(DAEMON.format(port=port, folder=tmp_path, there=place))
    logs_in_with(tmp_path, "mine", port)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("ssh", "scp"):
        (programs / name).write_text(PROGRAM.format(program=shutil.which(name), folder=tmp_path))
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    process = subprocess.Popen([SSHD, "-D", "-e", "-f", tmp_path / "daemon"], stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield place
    finally:
        process.terminate()
        process.wait()


def logs_in_with(folder: Path, key: str, port: int | str) -> None:
    (folder / "client").write_text(CLIENT.format(port=port, user=getpass.getuser(), folder=folder, key=key))


def wait_for(port: int) -> None:
    for _ in range(100):
        with socket.socket() as door:
            if door.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail("sshd does not listen")


def test_samples_come_back_through_sshd(ran: Ran, there: Path, tmp_path: Path) -> None:
    host = Host(name="pi", python=sys.executable)
    out = measure_on(host, ran.folder / "kit", tmp_path / "devices" / "pi", ["--no-accuracy", "--budget-s", "1"])
    assert (brought(out).facts.name, brought(out).facts.kit) == ("pi", ran.packed.id)
    assert not any(there.glob("slimline-kit-*"))


def test_a_host_that_lets_nobody_in_is_one_line(ran: Ran, there: Path, tmp_path: Path) -> None:
    port = (tmp_path / "client").read_text().partition("Port ")[2].split()[0]
    logs_in_with(tmp_path, "foreign", port)
    with pytest.raises(UserError, match=r"ssh pi can't make a folder there: .*Permission denied \(publickey"):
        measure_on(Host(name="pi", python=sys.executable), ran.folder / "kit", tmp_path / "out")
    assert not any(there.iterdir())
