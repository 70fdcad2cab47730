"""The verb specs."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from bayesesi.cli.app import console, one_sentence, specs_app


@specs_app.callback(invoke_without_command=True)
@one_sentence
def specs_list(context: typer.Context) -> None:
    """List the shipped specs."""
    from bayesesi.spec import read_spec, shipped_specs, spec_hash

    if context.invoked_subcommand is not None:
        return
    table = Table("kind", "name", "description", "hash")
    for name, path in sorted(shipped_specs().items(), key=lambda item: str(item[1])):
        spec = read_spec(name)
        table.add_row(path.parent.name, name, spec.description, spec_hash(spec))
    console.print(table)


@specs_app.command("show")
@one_sentence
def specs_show(
    name: Annotated[str, typer.Argument(help="Name of a shipped spec, or a .toml file.")],
) -> None:
    """Check a spec and print it with all defaults and its hash.

    bayesesi specs show spike
    """
    from bayesesi.prior import FocalPrior, make_prior
    from bayesesi.spec import FocalSpec, read_spec, spec_hash

    spec = read_spec(name)
    if isinstance(spec, FocalSpec):
        prior = make_prior(spec, ico=1)
        assert isinstance(prior, FocalPrior)
        _ = prior.weights  # region names are checked by the atlas
    console.print_json(data=spec.resolved())
    console.print(Text(f"hash {spec_hash(spec)}"))


@specs_app.command("schema")
@one_sentence
def specs_schema(
    kind: Annotated[
        str, typer.Argument(help="Kind: sources, heads, noise, simulators or recipes.")
    ],
) -> None:
    """Print the JSON schema of a kind of spec, for editors and other tools.

    bayesesi specs schema sources > sources.schema.json
    """
    from bayesesi.spec import spec_schema

    console.print_json(data=spec_schema(kind))


@specs_app.command("index")
@one_sentence
def specs_index(
    kind: Annotated[
        str, typer.Argument(help="Kind: sources, heads, noise, simulators or recipes.")
    ],
) -> None:
    """Print the table of specs for the README of their folder.

    bayesesi specs index sources
    """
    from bayesesi.spec import spec_index

    console.print(Text(spec_index(kind)), end="", soft_wrap=True)
