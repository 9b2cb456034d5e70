"""An operator with one account, and credentials of its users: what `nsc` makes, in a few lines."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from typing import Any

import nkeys


class _Signer:
    def __init__(self, prefix: int) -> None:
        self.seed = nkeys.encode_seed(os.urandom(32), prefix).decode()
        self._key = nkeys.from_seed(bytearray(self.seed.encode()))
        self.public = self._key.public_key.decode()

    def jwt(self, subject: str, name: str, claims: dict[str, Any], expires_in_s: float | None = None) -> str:
        body: dict[str, Any] = {"iat": int(time.time()), "iss": self.public, "name": name, "sub": subject}
        if expires_in_s is not None:
            body["exp"] = int(time.time() + expires_in_s)
        body["nats"] = {"version": 2, **claims}
        body["jti"] = (
            base64.b32encode(hashlib.sha256(json.dumps(body).encode()).digest()).decode().rstrip("=")
        )
        signed = f"{_encoded({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{_encoded(body)}"
        return f"{signed}.{_base64(self._key.sign(signed.encode()))}"


class Accounts:
    """Trusted by a server with `config`; `credentials` makes a user's file."""

    def __init__(self) -> None:
        operator = _Signer(nkeys.PREFIX_BYTE_OPERATOR)
        self._account = _Signer(nkeys.PREFIX_BYTE_ACCOUNT)
        limits = dict.fromkeys(("subs", "conn", "leaf", "imports", "exports", "data", "payload"), -1)
        claims = {"type": "account", "limits": {**limits, "wildcards": True}}
        account_jwt = operator.jwt(self._account.public, "shop", claims)
        self.config = (
            f"operator: {operator.jwt(operator.public, 'ops', {'type': 'operator'})}\n"
            f"resolver: MEMORY\nresolver_preload: {{ {self._account.public}: {account_jwt} }}\n"
        )

    def credentials(self, name: str = "ann", expires_in_s: float | None = None) -> str:
        user = _Signer(nkeys.PREFIX_BYTE_USER)
        claims = {"type": "user", "subs": -1, "data": -1, "payload": -1}
        jwt = self._account.jwt(user.public, name, claims, expires_in_s)
        return (
            f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
            "************************* IMPORTANT *************************\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
        )


def _encoded(part: dict[str, Any]) -> str:
    return _base64(json.dumps(part).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
