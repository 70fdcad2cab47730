"""Where things are: source spaces, regions, head surfaces, and the template that carries them."""

from bayesesi.anatomy.parcellation import (
    LOBES,
    OUTSIDE,
    REGIONS,
    Parcellation,
    Region,
    parcellation_from_names,
    read_annotation,
)
from bayesesi.anatomy.source_space import SOURCES_AT_LEVEL, CorticalMesh, SourceSpace
from bayesesi.anatomy.surfaces import SHELLS, TISSUES, HeadSurfaces, read_head_surfaces
from bayesesi.anatomy.template import (
    template_mesh,
    template_parcellation,
    template_source_space,
    template_surfaces,
    template_volume,
)

__all__ = [
    "LOBES",
    "OUTSIDE",
    "REGIONS",
    "SHELLS",
    "SOURCES_AT_LEVEL",
    "TISSUES",
    "CorticalMesh",
    "HeadSurfaces",
    "Parcellation",
    "Region",
    "SourceSpace",
    "parcellation_from_names",
    "read_annotation",
    "read_head_surfaces",
    "template_mesh",
    "template_parcellation",
    "template_source_space",
    "template_surfaces",
    "template_volume",
]
