"""Certificates of a test's own CA, made with the openssl binary."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest


class Certificate(NamedTuple):
    path: Path
    key: Path


class Authority:
    """A CA that lives for one test."""

    def __init__(self, directory: Path, name: str = "ca") -> None:
        if shutil.which("openssl") is None:
            pytest.skip("there is no openssl binary to make certificates with")
        self._directory = directory
        self.certificate = self._files(name)
        self._openssl("req", "-x509", *self._new_key(self.certificate), "-subj", f"/CN={name}", "-days", "2")

    @property
    def path(self) -> Path:
        return self.certificate.path

    def issue(self, name: str, alternative_names: str = "DNS:localhost") -> Certificate:
        """As `IP:127.0.0.1,DNS:localhost`."""
        issued = self._files(name)
        request = self._directory / f"{name}.csr"
        extensions = self._directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternative_names}\nbasicConstraints=CA:FALSE\n")
        self._openssl("req", "-new", *self._new_key(issued, request), "-subj", f"/CN={name}")
        self._openssl(
            *("x509", "-req", "-in", request, "-out", issued.path, "-days", "2", "-extfile", extensions),
            *("-CA", self.certificate.path, "-CAkey", self.certificate.key, "-CAcreateserial"),
        )
        return issued

    def _files(self, name: str) -> Certificate:
        return Certificate(self._directory / f"{name}.pem", self._directory / f"{name}.key")

    def _new_key(self, certificate: Certificate, out: Path | None = None) -> tuple[str | Path, ...]:
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        return (*curve, "-keyout", certificate.key, "-out", out or certificate.path)

    def _openssl(self, *arguments: str | Path) -> None:
        done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
