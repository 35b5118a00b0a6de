"""How like their recordings the generator's profiles are, figure by figure.

    python -m benchmarks.likeness            # prints the tables
    python -m benchmarks.likeness --write    # and writes them into docs/generator.md

Exit code 0 only if every figure is within 25 % of its recording's.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import tyro

from benchmarks.pages import write_between_markers
from kalshi_sim.likeness.figures import Comparison, Measured, compare
from kalshi_sim.likeness.measure import measure
from kalshi_sim.synthetic.profile import Profile, profile_names, read_profile
from kalshi_sim.synthetic.session import USUAL_SEED, generate_session

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "generator.md"
MARKER: Final = "likeness"
SESSION_ID: Final = 1


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Compare generated sessions of the profiles with the recordings they were fitted to."""

    seed: int = USUAL_SEED
    profiles: tuple[str, ...] = ()
    """All, if none are named."""
    write: bool = False
    """Write the tables into docs/generator.md."""


def compared(profile: Profile, seed: int) -> list[Comparison]:
    """The figures of a profile's own session beside those of its recording."""
    made = generate_session(SESSION_ID, seed=seed, profile=profile)
    return compare(Measured(profile.figures, profile.errors), measure(made))


def table(profile: Profile, found: list[Comparison]) -> str:
    """The comparison as Markdown."""
    lines = [
        f"### `{profile.name}`: {profile.recording}",
        "",
        f"{profile.markets} markets of {profile.minutes:g} minutes.",
        "",
        "| figure | recorded | generated | difference |",
        "|---|---|---|---|",
    ]
    for c in found:
        if c.recorded is not None:
            off = "not compared" if c.difference is None else f"{100 * c.difference:+.0f} %"
            shown = (c.figure.shown(c.recorded), c.figure.shown(c.generated))
            lines.append(f"| {c.figure.text} | {shown[0]} | {shown[1]} | {off} |")
    return "\n".join(lines)


def main() -> int:
    """Generate, measure and compare; returns the exit code."""
    arguments = tyro.cli(Arguments)
    parts, missed = [], []
    for name in arguments.profiles or profile_names():
        profile = read_profile(name)
        found = compared(profile, arguments.seed)
        parts.append(table(profile, found))
        missed += [f"{name}: {c.figure.text}" for c in found if not c.alike]
    text = "\n\n".join(parts)
    print(text)
    if arguments.write:
        write_between_markers(PAGE, MARKER, text)
    for line in missed:
        print(f"not alike: {line}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
