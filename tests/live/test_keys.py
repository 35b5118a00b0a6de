"""Keys: both algorithms sign and verify, and nothing shows a private one."""

from __future__ import annotations

import base64

import pytest

from kalshi_sim.errors import ConfigError
from kalshi_sim.live.interface import SIGNATURE_HEADER, WS_PATH
from kalshi_sim.live.keys import (
    load_private_key,
    load_public_key,
    new_private_key,
    private_pem,
    public_pem,
    request_headers,
    sign,
    signed_text,
    verify,
)


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_a_signature_holds_for_its_text_and_key_alone(kind: str) -> None:
    key = load_private_key(private_pem(new_private_key(kind)))
    public = load_public_key(public_pem(key.public_key()))
    text = signed_text(1_700_000_000_000, "GET", WS_PATH)
    assert text == b"1700000000000GET/trade-api/ws/v2"
    signature = sign(key, text)
    assert verify(public, signature, text)
    assert load_public_key(private_pem(key)) == public
    changed = bytearray(base64.b64decode(signature))
    changed[5] ^= 1
    assert not verify(public, base64.b64encode(changed).decode(), text)
    assert not verify(public, signature, text + b"?")
    assert not verify(new_private_key(kind).public_key(), signature, text)
    assert not verify(public, "no base64!", text)


def test_a_query_is_not_signed() -> None:
    key = new_private_key()
    headers = request_headers("id", key, "GET", "/trade-api/v2/markets?limit=5", 7)
    text = b"7GET/trade-api/v2/markets"
    assert verify(key.public_key(), headers[SIGNATURE_HEADER], text)


def test_a_bad_key_is_refused_without_showing_it() -> None:
    body = b"MC4CAQAwBQYDK2VwBCIEIsecretsecret"
    pem = b"-----BEGIN PRIVATE KEY-----\n" + body + b"\n-----END PRIVATE KEY-----\n"
    with pytest.raises(ConfigError, match=r"key\.pem is no unencrypted RSA or Ed25519") as refused:
        load_private_key(pem, "key.pem")
    assert "secretsecret" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None
    with pytest.raises(ConfigError, match="no kind of key"):
        new_private_key("dsa")
    with pytest.raises(ConfigError, match="no RSA or Ed25519 public key"):
        load_public_key(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
