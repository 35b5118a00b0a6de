"""API keys: loading them, and signing and verifying requests with them.

A key is RSA (PSS with SHA-256, MGF1 with SHA-256, a salt as long as the digest) or Ed25519; which
of them is read from the key itself. No message of this module shows any part of a private key.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from kalshi_sim.errors import ConfigError
from kalshi_sim.live.interface import KEY_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER

PrivateKey = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
PublicKey = rsa.RSAPublicKey | ed25519.Ed25519PublicKey

_RSA_BITS: Final = 2048
_PSS: Final = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)


def new_private_key(kind: str = "ed25519") -> PrivateKey:
    """A new key, for tests and local exchanges.

    Args:
        kind: "ed25519" or "rsa".

    Raises:
        ConfigError: another kind.
    """
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind == "rsa":
        return rsa.generate_private_key(public_exponent=65_537, key_size=_RSA_BITS)
    raise ConfigError(f"no kind of key: {kind!r}; use ed25519 or rsa")


def private_pem(key: PrivateKey) -> bytes:
    """A private key as unencrypted PKCS #8 PEM. Secret: keep it in a file of mode 600."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def public_pem(key: PublicKey) -> bytes:
    """A public key as PEM."""
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def load_private_key(pem: bytes, source: str = "the private key") -> PrivateKey:
    """A private key from PEM text; its own type decides the algorithm.

    Args:
        pem: PKCS #8 or PKCS #1 (RSA), unencrypted.
        source: where it came from, for messages.

    Raises:
        ConfigError: it is no such key.
    """
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None  # the library's own message may quote the file
    if not isinstance(key, rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
        raise ConfigError(
            f"{source} is no unencrypted RSA or Ed25519 private key in PEM; "
            "download the key file again, or create a new key"
        )
    return key


def load_public_key(pem: bytes, source: str = "the public key") -> PublicKey:
    """A public key from PEM text, or that of a private one.

    Args:
        pem: SubjectPublicKeyInfo, or a private key.
        source: where it came from, for messages.

    Raises:
        ConfigError: it is no RSA or Ed25519 key.
    """
    if b"PRIVATE KEY" in pem:
        return load_private_key(pem, source).public_key()
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, rsa.RSAPublicKey | ed25519.Ed25519PublicKey):
        raise ConfigError(f"{source} is no RSA or Ed25519 public key in PEM")
    return key


def signed_text(timestamp_ms: int, method: str, path: str) -> bytes:
    """What a request signs.

    Args:
        timestamp_ms: as its header says it.
        method: "GET", "POST", ...
        path: from the root (`/trade-api/...`); a query is left out.
    """
    return f"{timestamp_ms}{method}{path.partition('?')[0]}".encode()


def sign(key: PrivateKey, text: bytes) -> str:
    """The signature of `text` in base64.

    Args:
        key: RSA or Ed25519, whichever the exchange has the public half of.
        text: as `signed_text` gives it.
    """
    if isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(text, _PSS, hashes.SHA256())
    else:
        signature = key.sign(text)
    return base64.b64encode(signature).decode()


def verify(key: PublicKey, signature: str, text: bytes) -> bool:
    """Whether a signature was made with the private half of a key.

    Args:
        key: the public key.
        signature: base64, as `sign` gives it.
        text: what was signed.
    """
    try:
        raw = base64.b64decode(signature, validate=True)
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(raw, text, _PSS, hashes.SHA256())
        else:
            key.verify(raw, text)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def request_headers(
    key_id: str, key: PrivateKey, method: str, path: str, timestamp_ms: int
) -> dict[str, str]:
    """The headers that authenticate a REST request or a WebSocket handshake.

    Args:
        key_id: the exchange's name of the key.
        key: the private key.
        method: of the request; GET for a handshake.
        path: from the root, with or without a query.
        timestamp_ms: the time of the request, ms UTC.
    """
    return {
        KEY_HEADER: key_id,
        TIMESTAMP_HEADER: str(timestamp_ms),
        SIGNATURE_HEADER: sign(key, signed_text(timestamp_ms, method, path)),
    }
