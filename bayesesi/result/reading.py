"""Read the file that a result was saved to, or refuse it in one sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesesi.errors import InputError, some
from bayesesi.result.arrays import check_arrays
from bayesesi.result.result import ATTRIBUTE, SCHEMA, Result
from bayesesi.result.schema import check_about

if TYPE_CHECKING:
    import arviz as az

#: Older ones that can still be read; what they lack is left out.
READABLE = (3,)
#: Groups that a result has, and those it has unless there is nothing to localise.
GROUPS, MAP_GROUPS = ("posterior", "recording", "observed_data"), ("maps", "regions")
_KEYS = (
    *("version", "level", "n_draws", "seed", "model", "observation", "trust", "checks", "head"),
    "calibration",
)


def read_result(path: str | Path) -> Result:
    """Read what ``Result.save`` wrote.

    Parameters
    ----------
    path : of the file.

    Raises
    ------
    InputError : a missing, truncated or foreign file, or one of another schema.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"{path.name} is not a file; give a -post.nc file that a result was saved to"
        )
    data = _read(path)
    about = _about(data, path.name)
    wanted = GROUPS + (MAP_GROUPS[:1] if about["trust"].get("verdict") != "abstain" else ())
    missing = [key for key in _KEYS if key not in about]
    missing += [group for group in wanted if group not in data.groups()]
    if missing:
        raise InputError(f"{path.name} lacks {some(missing)}; it is damaged, infer again")
    result = Result(data)
    try:
        check_about(dict(about))
        check_arrays(data, result.localisable)
        _ = repr(result), result.to_dict()
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise InputError(
            f"{path.name} is damaged ({type(error).__name__}: {str(error)[:80]!r}); infer again"
        ) from error
    return result


def _read(path: Path) -> az.InferenceData:
    import arviz as az

    try:
        with az.rc_context({"data.load": "eager"}):  # leaves no file open
            return az.from_netcdf(str(path), engine="h5netcdf")
    except Exception as error:  # HDF5 and its readers raise many kinds for foreign files
        raise InputError(
            f"{path.name} is not a readable result ({type(error).__name__}: truncated, or another "
            "kind of file); give a -post.nc file that a result was saved to"
        ) from error


def _about(data: az.InferenceData, name: str) -> Mapping[str, Any]:
    try:
        about = json.loads(data.attrs[ATTRIBUTE])
        schema, _ = about["schema"], about["trust"]["verdict"]
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise InputError(
            f"{name} holds no result of bayesesi; give a -post.nc file that a result was saved to"
        ) from error
    if schema not in (SCHEMA, *READABLE):
        raise InputError(
            f"{name} has schema {str(schema)[:20]}, this version reads {SCHEMA} and "
            f"{', '.join(map(str, READABLE))}; infer again"
        )
    return dict(about)
