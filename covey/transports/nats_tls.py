"""The TLS of a connection to NATS: whom we trust, and who we are."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from covey.framework.errors import ConfigurationError, TransportError

__all__ = ["settle_tls", "tls_context", "tls_trouble"]

_UNCERTIFIED = "the server asks for a certificate of ours: give tls_cert and tls_key"


def tls_context(ca: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    """TLS 1.2 or newer, with the server's certificate and name checked.

    Args:
        ca: who may vouch for the server, instead of the system's CAs.
        certificate: our own, with its chain, for a server that asks for one.
        key: its private key, without a password.

    Raises:
        ConfigurationError: names the file that is not what it should be.
    """
    for name, path in (("tls_ca", ca), ("tls_cert", certificate), ("tls_key", key)):
        if path is not None:
            _check_pem(path, name)
    try:
        context = ssl.create_default_context(cafile=ca)
    except ssl.SSLError as error:
        raise ConfigurationError(f"tls_ca: {ca} holds no certificate ({error.reason})") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None and key is not None:
        try:
            # An empty password, or OpenSSL would ask for one at the terminal.
            context.load_cert_chain(certificate, key, password="")
        except (ssl.SSLError, ValueError) as error:
            raise ConfigurationError(
                f"tls_cert and tls_key: {certificate} and {key} are no certificate and its private key "
                f"({getattr(error, 'reason', None) or error}): give two that belong together, "
                "the key without a password"
            ) from error
    return context


def settle_tls(info: dict[str, Any], scheme: str, *, must: bool, certified: bool) -> None:
    """Decide on TLS by what a server says in its INFO; sets `tls_required` in it, by which nats-py goes.

    nats-py alone speaks TLS only where the server insists: one that does not, or whoever sits on the way to
    it, would get the password as it is.

    Args:
        scheme: of the server's URL; `tls` and `wss` make TLS a must.
        must: so do we.
        certified: we have a certificate.

    Raises:
        TransportError: the server offers no TLS, or asks for a certificate that we have not.
    """
    offered = info.get("tls_required") or info.get("tls_available")
    if (must or scheme == "tls") and scheme != "wss":
        if not offered or scheme == "ws":
            raise TransportError(
                "the server offers no TLS, which is a must here: give it a tls section in its configuration, "
                "or leave out what asks for TLS (tls..., --tls..., COVEY_NATS_TLS..., a URL with tls://)"
            )
        info["tls_required"] = True
    if info.get("tls_required") and info.get("tls_verify") and not certified:
        raise TransportError(_UNCERTIFIED)  # with TLS 1.3 the server just closes


def tls_trouble(error: ssl.SSLError) -> str:
    """What went wrong with TLS, and what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message or str(error)
        if "mismatch" in why or "not valid for" in why:
            return f"the server's certificate is for another name ({why}): give its name as tls_hostname"
        return f"the server's certificate is not trusted ({why}): give its CA as tls_ca"
    if "CERTIFICATE_REQUIRED" in str(error).upper().replace(" ", "_"):
        return _UNCERTIFIED
    return f"TLS failed ({error.reason or error}): see the server's log"


def _check_pem(path: Path, name: str) -> None:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{name}: {path} cannot be read: {error.strerror or error}") from error
    if b"-----BEGIN " not in content:
        raise ConfigurationError(f"{name}: {path} is no PEM file: it has no line that starts with -----BEGIN")
