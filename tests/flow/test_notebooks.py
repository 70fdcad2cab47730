"""Notebooks that ship: clean in the repository, and they run from top to bottom."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from typer.testing import CliRunner

from bayesesi.cli import app
from bayesesi.spec import shipped_notebooks

NOTEBOOKS = shipped_notebooks()
#: The quick one is run with every test, the others with the slow ones and by `make docs`.
QUICK = "posterior_sampling"


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOKS[name], as_version=4)


def run(name: str, folder: Path) -> nbformat.NotebookNode:
    """As a user would, in an empty folder."""
    notebook = read(name)
    own = {**os.environ, "OMP_NUM_THREADS": "1"}
    own.pop("MPLBACKEND", None)
    where = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=900, kernel_name="python3", resources=where).execute(env=own)
    return notebook


def said(notebook: nbformat.NotebookNode) -> str:
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    errors = [o for o in outputs if o.get("name") == "stderr" or o.output_type == "error"]
    assert not errors, errors[0]
    return "".join(o.text for o in outputs if o.output_type == "stream")


def test_the_four_are_there() -> None:
    assert set(NOTEBOOKS) == {
        "clinical_review",
        "posterior_sampling",
        "uncertainty_lab",
        "write_your_prior",
    }


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_are_kept_without_what_a_run_leaves(name: str) -> None:
    notebook = read(name)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None
            ast.parse(cell.source.replace("%matplotlib inline", ""))


def test_posterior_sampling_runs(tmp_path: Path) -> None:
    text = said(run(QUICK, tmp_path))
    assert "(1000, 5124," in text
    assert "RegionSet" in text
    assert (tmp_path / "spike-post.nc").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(NOTEBOOKS) - {QUICK}))
def test_notebooks_run(name: str, tmp_path: Path) -> None:
    text = said(run(name, tmp_path))
    assert {
        "clinical_review": "in the conformal set: True",
        "uncertainty_lab": "recordings without a source",
        "write_your_prior": "reliability slope",
    }[name] in text
    if name == "clinical_review":
        assert "the epilepsy board" in (tmp_path / "reviewed.html").read_text(encoding="utf-8")


def test_the_command_writes_them(tmp_path: Path) -> None:
    out = tmp_path / "mine"
    assert CliRunner().invoke(app, ["notebooks", "-o", str(out)]).exit_code == 0
    for name, path in NOTEBOOKS.items():
        assert (out / f"{name}.ipynb").read_bytes() == path.read_bytes()
    again = CliRunner().invoke(app, ["notebooks", "-o", str(out)])
    assert again.exit_code == 2
    assert CliRunner().invoke(app, ["notebooks", "-o", str(out), "--overwrite"]).exit_code == 0
