"""Name a report in a folder of BIDS derivatives."""

from __future__ import annotations

import json
from pathlib import Path

from bayesesi.errors import InputError, some
from bayesesi.io.atomic import atomic_file

_DESCRIPTION = "dataset_description.json"


def bids_path(
    root: str | Path, subject: str, session: str = "", task: str = "", run: str = ""
) -> Path:
    """Make the folders of a BIDS derivative and name its report.

    ``ROOT/sub-X[/ses-Y]/eeg/sub-X[_ses-Y][_task-T][_run-R]_desc-bayesesi_report.html``. The
    dataset's description is written where there is none. Only what the caller says of a person
    enters a name.

    Parameters
    ----------
    root : of the derivatives. subject, session, task, run : letters and digits; all but the
        subject may be empty.

    Raises
    ------
    InputError : words that BIDS does not allow, a folder of another dataset, or one that cannot be
        written.
    """
    entities = {"sub": subject, "ses": session, "task": task, "run": run}
    for name, value in entities.items():
        if not isinstance(value, str) or (value and not (value.isascii() and value.isalnum())):
            raise InputError(
                f"BIDS names take letters and digits, so {name}-{some([value])} is none; leave out "
                "spaces, dashes and underscores"
            )
    if not subject:
        raise InputError("a BIDS name begins with a subject; give one")
    folder = Path(root) / f"sub-{subject}"
    folder = (folder / f"ses-{session}" if session else folder) / "eeg"
    _describe(Path(root))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made ({error.strerror}); choose another") from error
    stem = "_".join(f"{name}-{value}" for name, value in entities.items() if value)
    return folder / f"{stem}_desc-bayesesi_report.html"


def _describe(root: Path) -> None:
    from bayesesi import __version__

    path = root / _DESCRIPTION
    if path.is_file():
        try:
            kind = dict(json.loads(path.read_text(encoding="utf-8"))).get("DatasetType")
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise InputError(f"{path} is damaged; mend it or choose another folder") from error
        if kind != "derivative":
            raise InputError(
                f"{root} is a dataset of recordings, not of derivatives; choose a folder such as "
                f"{root / 'derivatives' / 'bayesesi'}"
            )
        return
    about = {
        "Name": "bayesesi source imaging reports",
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "bayesesi", "Version": __version__}],
    }
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{root} cannot be made ({error.strerror}); choose another") from error
    with atomic_file(path) as draft:
        draft.write_text(json.dumps(about, indent=1), encoding="utf-8")
