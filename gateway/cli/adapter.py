"""`ecluse adapter`: adapters of other distributions, which the configuration pins to the byte."""

from typing import Annotated

import typer

from gateway.cli.shared import Answer, Place, group, local

commands = group("Adapters of other distributions: measured here, pinned in gateway.toml.")


@local(commands, "digest")
def digest(
    place: Place,
    distribution: Annotated[str, typer.Argument(metavar="DIST", help="Name of an installed distribution.")],
) -> Answer:
    """Measure an installed distribution, and print what pins it in gateway.toml. Nothing of it is imported.

    Read its files first: a pin says that they are these, not that they are good.
    """
    from gateway.service.plugins import measure

    measured = measure(distribution)
    document = {
        "distribution": measured.distribution,
        "version": measured.version,
        "digest": measured.digest,
        "files": len(measured.paths),
        "adapters": [{"group": group, "name": name} for group, name in measured.entry_points],
    }
    text = [f"{measured.distribution} {measured.version}: {len(measured.paths)} files, {measured.digest}"]
    for entry_group, name in measured.entry_points:
        text += [
            "[[adapters]]",
            f'group = "{entry_group}"',
            f'name = "{name}"',
            f'distribution = "{measured.distribution}"',
            f'version = "{measured.version}"',
            f'digest = "{measured.digest}"',
        ]
    return Answer(document, text)
