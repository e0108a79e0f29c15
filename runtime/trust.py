"""Who made an engine: signatures by Ed25519 (RFC 8032), of the two hashes in the seal of its file.

A signature covers every byte of the file, because the hashes do. Needs the package cryptography, which is asked for
only where somebody signs or trusts.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import EngineError
from .file import Seal, change_engine

CONTEXT = b"ircc engine\0"  # in front of what is signed, so that the signature is good for nothing else


def _ed25519() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise EngineError("signatures need the package cryptography", hint="pip install 'ircc[sign]'") from None
    return ed25519


def _serialization() -> Any:
    from cryptography.hazmat.primitives import serialization

    return serialization


def new_key(private: str | os.PathLike[str], public: str | os.PathLike[str]) -> None:
    """Writes a fresh pair of keys as PEM files, the private one for its owner's eyes alone. Raises EngineError where
    one is there already, or cannot be written."""
    key, forms = _ed25519().Ed25519PrivateKey.generate(), _serialization()
    plain = forms.NoEncryption()
    secret = key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, plain)
    known = key.public_key().public_bytes(forms.Encoding.PEM, forms.PublicFormat.SubjectPublicKeyInfo)
    made: list[str | os.PathLike[str]] = []
    for path, data, mode in ((private, secret, 0o600), (public, known, 0o644)):
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                made.append(path)
                file.write(data)
        except OSError as error:
            for half in made:  # one key of a pair is of no use
                os.unlink(half)
            raise EngineError(f"cannot write {os.fspath(path)}: {error.strerror or error}") from None


def sign_engine(path: str | os.PathLike[str], private: str | os.PathLike[str]) -> None:
    """Signs an engine file with the key of a PEM file; a signature that it has is replaced. Raises EngineError."""
    ed25519 = _ed25519()
    try:
        key = _serialization().load_pem_private_key(_read(private), None)
    except (ValueError, TypeError) as error:
        raise EngineError(f"{os.fspath(private)} holds no private key that can be read: {error}") from None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise EngineError(f"{os.fspath(private)} holds a key of another kind than Ed25519", hint="ircc sign --new-key")
    forms = _serialization()
    public = key.public_key().public_bytes(forms.Encoding.Raw, forms.PublicFormat.Raw)
    change_engine(path, lambda seal: seal._replace(public_key=public, signature=key.sign(_signed(seal))))


def signer(seal: Seal) -> bytes | None:
    """The public key by which a file says it is signed, 32 bytes; None for one that is not."""
    return seal.public_key if any(seal.public_key) or any(seal.signature) else None


def check_signature(
    seal: Seal, trusted: Iterable[str | os.PathLike[str] | bytes], path: str | os.PathLike[str]
) -> None:
    """Raises EngineError where the engine is not signed with one of these keys, PEM files or 32 bytes each.

    Only with a file all of whose hashes have been checked is a good signature worth anything."""
    keys = [_public(key) for key in trusted]
    if signer(seal) is None:
        raise EngineError(f"{os.fspath(path)} is not signed", hint="ask its maker for one that is: `ircc sign`")
    if seal.public_key not in keys:
        raise EngineError(f"{os.fspath(path)} is signed with a key that is not trusted: {seal.public_key.hex()}")
    ed25519 = _ed25519()
    from cryptography.exceptions import InvalidSignature

    try:
        ed25519.Ed25519PublicKey.from_public_bytes(seal.public_key).verify(seal.signature, _signed(seal))
    except InvalidSignature:
        raise EngineError(f"the signature of {os.fspath(path)} is not good: it was altered") from None


def _signed(seal: Seal) -> bytes:
    return CONTEXT + seal.body_hash + seal.weights_hash


def _public(key: str | os.PathLike[str] | bytes) -> bytes:
    if isinstance(key, bytes):
        if len(key) != 32:
            raise EngineError(f"a trusted key has {len(key)} bytes, expected 32, or the path of a PEM file")
        return key
    ed25519, forms = _ed25519(), _serialization()
    try:
        found = forms.load_pem_public_key(_read(key))
    except ValueError as error:
        raise EngineError(f"{os.fspath(key)} holds no public key that can be read: {error}") from None
    if not isinstance(found, ed25519.Ed25519PublicKey):
        raise EngineError(f"{os.fspath(key)} holds a key of another kind than Ed25519")
    return found.public_bytes(forms.Encoding.Raw, forms.PublicFormat.Raw)


def _read(path: str | os.PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise EngineError(f"cannot read {os.fspath(path)}: {error.strerror or error}") from None
