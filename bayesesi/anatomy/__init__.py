"""Where things are: source spaces, regions, head surfaces, and the template that carries them."""

from typing import TYPE_CHECKING

from bayesesi.anatomy.surface_modes import SurfaceModes, surface_modes, template_modes
from bayesesi.lazy import names_on_first_use

if TYPE_CHECKING:
    from bayesesi.anatomy.activity import active_regions, region_energy
    from bayesesi.anatomy.mesh import CorticalMesh
    from bayesesi.anatomy.parcellation import (
        LOBES,
        OUTSIDE,
        REGIONS,
        Parcellation,
        Region,
        parcellation_from_names,
        read_annotation,
    )
    from bayesesi.anatomy.partition import (
        Parcels,
        cell_neighbours,
        read_partition,
        template_parcels,
        template_partition,
    )
    from bayesesi.anatomy.source_space import SOURCES_AT_LEVEL, SourceSpace
    from bayesesi.anatomy.surfaces import SHELLS, TISSUES, HeadSurfaces, read_head_surfaces
    from bayesesi.anatomy.template import (
        template_mesh,
        template_parcellation,
        template_source_space,
        template_surfaces,
        template_volume,
    )
    from bayesesi.anatomy.volume_blobs import (
        EXTENT_NODES,
        VolumeBlobs,
        node_weights,
        template_blobs,
    )
else:
    __getattr__ = names_on_first_use(__name__)

__all__ = [
    "EXTENT_NODES",
    "LOBES",
    "OUTSIDE",
    "REGIONS",
    "SHELLS",
    "SOURCES_AT_LEVEL",
    "TISSUES",
    "CorticalMesh",
    "HeadSurfaces",
    "Parcellation",
    "Parcels",
    "Region",
    "SourceSpace",
    "SurfaceModes",
    "VolumeBlobs",
    "active_regions",
    "cell_neighbours",
    "node_weights",
    "parcellation_from_names",
    "read_annotation",
    "read_head_surfaces",
    "read_partition",
    "region_energy",
    "surface_modes",
    "template_blobs",
    "template_mesh",
    "template_modes",
    "template_parcellation",
    "template_parcels",
    "template_partition",
    "template_source_space",
    "template_surfaces",
    "template_volume",
]
