"""How a node logs in: what is given, what the environment adds, what contradicts, and real servers."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from covey.framework.errors import ConfigurationError, TransportError
from covey.transports import NatsLogin, NatsTransport
from covey.transports.nats_keys import new_user_key
from tests.conformance.recorder import Recorder
from tests.transports.certificates import Authority, Certificate
from tests.transports.configured_server import configured_server
from tests.transports.jwt_accounts import Accounts

SECRET = "hunter2-and-more"


def checked(environ: Mapping[str, str] | None = None, **given: Any) -> NatsLogin:
    return NatsLogin.checked(given, environ or {})


def refusal(environ: Mapping[str, str] | None = None, **given: Any) -> str:
    with pytest.raises(ConfigurationError) as raised:
        checked(environ, **given)
    assert SECRET not in str(raised.value)
    return str(raised.value)


@pytest.fixture
def seed_file(tmp_path: Path) -> Path:
    path = tmp_path / "ann.nk"
    path.write_text(new_user_key().seed + "\n")
    return path


# -- what is given ---------------------------------------------------------------------------------


def test_nothing_given_is_no_login_and_no_tls() -> None:
    assert checked().connect_options() == {}


def test_arguments_come_before_the_environment() -> None:
    environ = {"COVEY_NATS_USER": "bob", "COVEY_NATS_PASSWORD": "x"}
    assert checked(environ).connect_options() == {"user": "bob", "password": "x"}
    assert checked(environ, user="ann").connect_options() == {"user": "ann", "password": "x"}
    assert checked(environ, user=None, token="t").connect_options() == {"token": "t"}


def test_every_option_has_a_variable(seed_file: Path) -> None:
    assert checked({"COVEY_NATS_TOKEN": "t"}).token == "t"
    assert checked({"COVEY_NATS_NKEY": str(seed_file)}).nkey == seed_file
    assert checked({"COVEY_NATS_TLS": "1"}).tls
    assert not checked({"COVEY_NATS_TLS": "0"}).tls
    assert checked({"COVEY_NATS_TLS_HOSTNAME": "nats.example"}).tls_hostname == "nats.example"
    for name in ("CREDENTIALS", "TLS_CA"):
        assert "/no/such/file cannot be read" in refusal({f"COVEY_NATS_{name}": "/no/such/file"})


def test_an_empty_variable_is_none() -> None:
    assert checked({"COVEY_NATS_USER": "", "COVEY_NATS_TLS": ""}) == NatsLogin()


@pytest.mark.parametrize(
    ("given", "environ", "words"),
    [
        ({"user": "ann"}, {}, "user without password: give password (or COVEY_NATS_PASSWORD) too"),
        ({"password": SECRET}, {}, "password without user"),
        ({}, {"COVEY_NATS_USER": "ann"}, "COVEY_NATS_USER without password"),
        ({"token": SECRET, "user": "ann", "password": SECRET}, {}, "user and token are different ways"),
        (
            {},
            {"COVEY_NATS_TOKEN": SECRET, "COVEY_NATS_NKEY": "n.nk"},
            "COVEY_NATS_TOKEN and COVEY_NATS_NKEY are",
        ),
        ({"tls_cert": "a.pem"}, {}, "tls_cert without tls_key"),
        ({"tls_key": "a.key"}, {}, "tls_key without tls_cert"),
        ({"token": ""}, {}, "token is a str: give text that is not empty"),
        ({"token": 7}, {}, "token is a int: give text that is not empty"),
        ({"nkey": 7}, {}, "nkey is a int: give the path of a file"),
        ({}, {"COVEY_NATS_TLS": "maybe"}, "COVEY_NATS_TLS is 'maybe': give 1 or 0"),
    ],
)
def test_what_contradicts_or_lacks_something_is_named(
    given: dict[str, Any], environ: dict[str, str], words: str
) -> None:
    assert words in refusal(environ, **given)


@pytest.mark.parametrize("option", ["nkey", "credentials", "tls_ca"])
def test_a_file_that_is_not_there_or_not_readable_is_named(option: str, tmp_path: Path) -> None:
    assert refusal(**{option: tmp_path / "none"}) == (
        f"{option}: {tmp_path / 'none'} cannot be read: No such file or directory"
    )
    assert refusal(**{option: tmp_path}) == f"{option}: {tmp_path} cannot be read: Is a directory"


@pytest.mark.parametrize("option", ["nkey", "credentials", "tls_ca"])
def test_a_file_of_something_else_is_named_without_its_content(option: str, tmp_path: Path) -> None:
    path = tmp_path / "secrets.txt"
    path.write_bytes(b"\xff\x00" + SECRET.encode())
    assert f"{option}: {path}" in refusal(**{option: path})


def test_a_seed_with_a_wrong_letter_is_no_seed(seed_file: Path) -> None:
    seed = seed_file.read_text().strip()
    seed_file.write_text(seed[:20] + ("A" if seed[20] != "A" else "B") + seed[21:])
    assert "holds no seed of a user's nkey" in refusal(nkey=seed_file)


def test_a_seed_of_an_account_is_no_users(tmp_path: Path) -> None:
    import nkeys

    path = tmp_path / "account.nk"
    path.write_bytes(nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_ACCOUNT))
    assert "holds no seed of a user's nkey" in refusal(nkey=path)


def test_a_credentials_file_as_nkey_says_which_option_is_right(tmp_path: Path) -> None:
    path = tmp_path / "ann.creds"
    path.write_text(Accounts().credentials())
    assert "give it as credentials" in refusal(nkey=path)


def test_a_credentials_file_cut_short_is_no_credentials_file(tmp_path: Path) -> None:
    path = tmp_path / "ann.creds"
    text = Accounts().credentials()
    for cut in (0, 20, len(text) // 2, len(text) - 60):
        path.write_text(text[:cut])
        assert f"credentials: {path} is no credentials file" in refusal(credentials=path)


def test_secrets_are_in_no_repr(seed_file: Path) -> None:
    key = new_user_key()
    logins = [checked(user="ann", password=SECRET), checked(token=SECRET), checked(nkey=seed_file), key]
    shown = repr(logins)
    assert SECRET not in shown
    assert seed_file.read_text().strip() not in shown
    assert key.public in shown
    assert key.seed not in shown


def test_user_info_in_the_url_and_another_login_contradict_each_other() -> None:
    for login in (checked(user="ann", password=SECRET), checked(token=SECRET)):
        with pytest.raises(ConfigurationError, match="the NATS URL carries a user or a token") as raised:
            NatsTransport(f"nats://bob:{SECRET}@127.0.0.1:4222", login=login)
        assert SECRET not in str(raised.value)
    checked(tls_hostname="nats.example").check_url("nats://bob:x@127.0.0.1")


def test_options_are_taken_out_of_others() -> None:
    options: dict[str, Any] = {"weight": 2, "token": "t", "user": None}
    assert NatsLogin.taken_from(options, {}).token == "t"
    assert options == {"weight": 2}


# -- TLS files -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def server_certificate(authority: Authority) -> Certificate:
    return authority.issue("server", "IP:127.0.0.1,DNS:localhost")


@pytest.fixture(scope="module")
def own(authority: Authority) -> Certificate:
    return authority.issue("ann")


def test_tls_is_1_2_or_newer_and_checks_certificate_and_name(authority: Authority) -> None:
    context = checked(tls_ca=authority.path).connect_options()["tls"]
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert [ca["subject"] for ca in context.get_ca_certs()] == [((("commonName", "ca"),),)]


def test_the_systems_authorities_are_trusted_where_no_other_is_named() -> None:
    assert checked(tls=True).connect_options()["tls"].verify_mode is ssl.CERT_REQUIRED


def test_a_certificate_and_a_key_that_do_not_belong_together_are_named(
    authority: Authority, own: Certificate
) -> None:
    error = refusal(tls_cert=own.path, tls_key=authority.certificate.key)
    assert str(own.path) in error
    assert str(authority.certificate.key) in error
    assert "give two that belong together" in error


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(
    own: Certificate, tmp_path: Path
) -> None:
    import subprocess

    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "pkey", "-in", own.key, "-out", locked, "-aes256", "-passout", "pass:x"],
        check=True,
        capture_output=True,
        timeout=30,
    )
    assert "the key without a password" in refusal(tls_cert=own.path, tls_key=locked)


def test_a_ca_file_without_a_certificate_is_named(own: Certificate) -> None:
    assert f"tls_ca: {own.key} holds no certificate" in refusal(tls_ca=own.key)


# -- real servers ----------------------------------------------------------------------------------


def run(login: NatsLogin, url: str) -> None:
    """A node logs in and gets a frame that it sends to itself."""

    async def main() -> None:
        transport, recorder = NatsTransport(url, login=login), Recorder()
        await transport.start("shop", "a", recorder)
        try:
            transport.send("a", b"x")
            await recorder.until(lambda r: r.frames)
            assert (recorder.problems, recorder.links) == ([], [])
        finally:
            await transport.close()

    asyncio.run(asyncio.wait_for(main(), 20.0))


def refused(login: NatsLogin, url: str) -> str:
    with pytest.raises(TransportError) as raised:
        run(login, url)
    assert SECRET not in str(raised.value)
    return str(raised.value)


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No secret, and no complaint of asyncio's, is logged in the test."""
    with caplog.at_level(logging.DEBUG):
        yield
    assert SECRET not in caplog.text
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


pytestmark = pytest.mark.usefixtures("quiet")


def test_user_and_password_log_in_and_a_wrong_password_does_not(tmp_path: Path) -> None:
    with configured_server(tmp_path, f"authorization {{ user: ann, password: {SECRET} }}") as server:
        run(checked(user="ann", password=SECRET), server.url())
        run(checked(), server.url(f"ann:{SECRET}"))
        assert "the server refused our credentials" in refused(
            checked(user="ann", password=f"{SECRET}!"), server.url()
        )


def test_a_password_of_odd_characters_logs_in(tmp_path: Path) -> None:
    password = 'p@ss:w/rd "%41" é'
    with configured_server(
        tmp_path, 'authorization { user: ann, password: "p@ss:w/rd \\"%41\\" é" }'
    ) as server:
        run(checked(user="ann", password=password), server.url())


def test_a_token_logs_in_and_a_wrong_one_does_not(tmp_path: Path) -> None:
    with configured_server(tmp_path, f'authorization {{ token: "{SECRET}" }}') as server:
        run(checked(token=SECRET), server.url())
        assert "refused our credentials" in refused(checked(token=f"{SECRET}!"), server.url())


def test_an_nkey_logs_in_and_an_unknown_one_does_not(tmp_path: Path, seed_file: Path) -> None:
    known = new_user_key()
    with configured_server(tmp_path, f"authorization {{ users: [{{ nkey: {known.public} }}] }}") as server:
        assert "refused our credentials" in refused(checked(nkey=seed_file), server.url())
        seed_file.write_text(f"{known.seed}\n")
        run(checked(nkey=seed_file), server.url())


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_credentials_file_logs_in_and_one_of_another_account_does_not(
    tmp_path: Path, line_end: str
) -> None:
    accounts, path = Accounts(), tmp_path / "ann.creds"
    with configured_server(tmp_path, accounts.config) as server:
        path.write_bytes(accounts.credentials().replace("\n", line_end).encode())
        run(checked(credentials=path), server.url())
        assert "refused our credentials" in refused(checked(), server.url())
        path.write_text(Accounts().credentials())
        assert "refused our credentials" in refused(checked(credentials=path), server.url())


def tls(certificate: Certificate, more: str = "") -> str:
    return f'tls {{ cert_file: "{certificate.path}", key_file: "{certificate.key}", {more} }}\n'


def test_tls_connects_to_a_server_that_the_ca_vouches_for_and_to_no_other(
    tmp_path: Path, authority: Authority, server_certificate: Certificate
) -> None:
    other = Authority(tmp_path, "other")
    with configured_server(tmp_path, tls(server_certificate)) as server:
        run(checked(tls_ca=authority.path), server.url())
        for login in (checked(tls_ca=other.path), checked(tls=True), checked()):
            assert "the server's certificate is not trusted" in refused(login, server.url())


def test_a_certificate_for_another_name_is_refused_unless_that_name_is_given(
    tmp_path: Path, authority: Authority
) -> None:
    with configured_server(tmp_path, tls(authority.issue("far", "DNS:nats.example"))) as server:
        run(checked(tls_ca=authority.path, tls_hostname="nats.example"), server.url())
        for name in (None, "other.example"):
            error = refused(checked(tls_ca=authority.path, tls_hostname=name), server.url())
            assert "the server's certificate is for another name" in error
            assert "give its name as tls_hostname" in error


def test_a_server_that_asks_for_our_certificate_gets_it_or_says_that_it_is_missing(
    tmp_path: Path, authority: Authority, server_certificate: Certificate, own: Certificate
) -> None:
    config = tls(server_certificate, f'ca_file: "{authority.path}", verify: true')
    with configured_server(tmp_path, config) as server:
        run(checked(tls_ca=authority.path, tls_cert=own.path, tls_key=own.key), server.url())
        error = refused(checked(tls_ca=authority.path), server.url())
        assert "the server asks for a certificate of ours: give tls_cert and tls_key" in error


def test_a_server_that_maps_certificates_to_users_takes_ours_as_login(
    tmp_path: Path, authority: Authority, server_certificate: Certificate, own: Certificate
) -> None:
    config = tls(server_certificate, f'ca_file: "{authority.path}", verify_and_map: true')
    config += 'authorization { users: [{ user: "CN=ann" }] }'
    stranger = authority.issue("stranger")
    with configured_server(tmp_path, config) as server:
        run(checked(tls_ca=authority.path, tls_cert=own.path, tls_key=own.key), server.url())
        login = checked(tls_ca=authority.path, tls_cert=stranger.path, tls_key=stranger.key)
        assert "refused our credentials" in refused(login, server.url())


def test_no_password_goes_to_a_server_that_offers_no_tls_where_that_is_a_must(
    tmp_path: Path, authority: Authority
) -> None:
    login = {"user": "ann", "password": SECRET}
    with configured_server(tmp_path, f"debug: true\ntrace: true\nauthorization {login}") as server:
        for given in (checked(tls=True, **login), checked(tls_ca=authority.path, **login)):
            assert "the server offers no TLS, which is a must here" in refused(given, server.url())
        url = server.url().replace("nats:", "tls:")
        assert "offers no TLS" in refused(checked(**login), url)
        assert "CONNECT" not in (tmp_path / "log").read_text()  # it was never told who we are


def test_tls_is_used_where_the_server_leaves_it_to_us(
    tmp_path: Path, authority: Authority, server_certificate: Certificate
) -> None:
    with configured_server(tmp_path, "allow_non_tls: true\n" + tls(server_certificate)) as server:
        run(checked(tls_ca=authority.path), server.url())
        assert "is not trusted" in refused(checked(tls=True), server.url())
        run(checked(), server.url())


def test_a_handshake_that_fails_ends_at_once(
    tmp_path: Path, authority: Authority, server_certificate: Certificate
) -> None:
    with configured_server(tmp_path, tls(server_certificate)) as server:

        async def main() -> None:
            transport = NatsTransport(server.url(), login=checked(tls=True), connect_timeout_s=60.0)
            with pytest.raises(TransportError, match="is not trusted"):
                await asyncio.wait_for(transport.start("shop", "a", Recorder()), 20.0)

        asyncio.run(main())


def test_a_node_on_tls_comes_back_after_the_server_was_killed(
    tmp_path: Path, authority: Authority, server_certificate: Certificate
) -> None:
    from tests.conformance.transports import free_port

    config = tls(server_certificate) + f"port: {free_port()}\n"

    async def main() -> None:
        recorder = Recorder()
        with configured_server(tmp_path, config) as server:
            transport = NatsTransport(server.url(), login=checked(tls_ca=authority.path))
            await transport.start("shop", "a", recorder)
            server.process.kill()
            await recorder.until(lambda r: [up for up, _ in r.links] == [False])
        with configured_server(tmp_path, config):
            await recorder.until(lambda r: [up for up, _ in r.links] == [False, True])
            transport.send("a", b"x")
            await recorder.until(lambda r: r.frames)
            await transport.close()

    asyncio.run(asyncio.wait_for(main(), 30.0))


def test_renewed_credentials_are_read_when_the_old_ones_have_expired(tmp_path: Path) -> None:
    accounts, path = Accounts(), tmp_path / "ann.creds"
    path.write_text(accounts.credentials(expires_in_s=2))

    async def main() -> None:
        recorder = Recorder()
        with configured_server(tmp_path, accounts.config) as server:
            transport = NatsTransport(server.url(), login=checked(credentials=path))
            await transport.start("shop", "a", recorder)
            path.write_text("half wri")  # whoever renews it may be at it just when the server ends us
            await recorder.until(lambda r: r.links and r.problems)
            assert f"credentials: {path} is no credentials file" in str(recorder.problems[-1])
            path.write_text(accounts.credentials())
            await recorder.until(lambda r: [up for up, _ in r.links] == [False, True])
            transport.send("a", b"x")
            await recorder.until(lambda r: r.frames)
            await transport.close()

    asyncio.run(asyncio.wait_for(main(), 30.0))


def test_a_key_that_was_renewed_while_the_server_was_away_is_read_again(
    tmp_path: Path, seed_file: Path
) -> None:
    from tests.conformance.transports import free_port

    old, new, port = new_user_key(), new_user_key(), free_port()
    seed_file.write_text(old.seed)

    def config(public: str) -> str:
        return f"port: {port}\nauthorization {{ users: [{{ nkey: {public} }}] }}"

    async def main() -> None:
        recorder = Recorder()
        with configured_server(tmp_path, config(old.public)) as server:
            transport = NatsTransport(server.url(), login=checked(nkey=seed_file))
            await transport.start("shop", "a", recorder)
            server.process.kill()
            await recorder.until(lambda r: [up for up, _ in r.links] == [False])
        with configured_server(tmp_path, config(new.public)):
            await recorder.until(lambda r: r.problems)
            assert "refused our credentials" in str(recorder.problems[0])
            seed_file.write_text(new.seed)
            await recorder.until(lambda r: [up for up, _ in r.links] == [False, True])
            await transport.close()

    asyncio.run(asyncio.wait_for(main(), 30.0))
