"""Model files that somebody tampered with."""

from __future__ import annotations

import base64
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kalshi_train.models import seal


class Payload:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        """What pickle calls on loading."""
        return os.system, (f"touch {self.mark}",)


def rewritten(path: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """A copy of a zip with members changed, sealed as ours."""
    content = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(content, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    made = path.with_name("evil.zip")
    made.write_bytes(seal(content.getvalue()))
    return made


def with_attribute(name: str, value: bytes) -> Callable[[str, bytes], bytes]:
    """Puts a pickle among the attributes."""

    def change(member: str, data: bytes) -> bytes:
        if member != "data":
            return data
        serialized = {":type:": "x", ":serialized:": base64.b64encode(value).decode()}
        return json.dumps(json.loads(data) | {name: serialized}).encode()

    return change
