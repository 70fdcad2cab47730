"""Names for places on the cortex: 34 Desikan-Killiany regions a side, in a reader's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy.mesh import CorticalMesh
from bayesesi.anatomy.source_space import SourceSpace
from bayesesi.errors import InputError, some

if TYPE_CHECKING:
    import pandas as pd

#: Label of a source that belongs to no region (medial wall, too far from the cortex).
OUTSIDE = -1

# Desikan-Killiany region -> (lobe, sublobe): the sublobes are the places at which source
# imaging is scored in SCORE (Beniczky et al. 2017, Clin Neurophysiol 128:2334), written
# as in version 1 of the HED-SCORE schema ("Source-analysis-" stands before each there). The
# cingulate is given to the lobe it borders on; a region that spans several places to that
# which holds most of its area.
_PLACES = {
    "bankssts": ("temporal", "temporal-lateral-posterior"),
    "caudalanteriorcingulate": ("frontal", "frontal-mesial"),
    "caudalmiddlefrontal": ("frontal", "frontal-lateral"),
    "cuneus": ("occipital", "occipital-mesial"),
    "entorhinal": ("temporal", "temporal-basal"),
    "frontalpole": ("frontal", "frontal-polar"),
    "fusiform": ("temporal", "temporal-basal"),
    "inferiorparietal": ("parietal", "parietal-lateral-convexity"),
    "inferiortemporal": ("temporal", "temporal-basal"),
    "insula": ("insula", "insula"),
    "isthmuscingulate": ("parietal", "parietal-mesial"),
    "lateraloccipital": ("occipital", "occipital-lateral"),
    "lateralorbitofrontal": ("frontal", "frontal-orbitofrontal"),
    "lingual": ("occipital", "occipital-basal"),
    "medialorbitofrontal": ("frontal", "frontal-orbitofrontal"),
    "middletemporal": ("temporal", "temporal-lateral-posterior"),
    "paracentral": ("central", "central-mesial"),
    "parahippocampal": ("temporal", "temporal-basal"),
    "parsopercularis": ("frontal", "frontal-perisylvian-superior-surface"),
    "parsorbitalis": ("frontal", "frontal-orbitofrontal"),
    "parstriangularis": ("frontal", "frontal-lateral"),
    "pericalcarine": ("occipital", "occipital-mesial"),
    "postcentral": ("central", "central-sulcus-posterior-surface"),
    "posteriorcingulate": ("parietal", "parietal-mesial"),
    "precentral": ("central", "central-sulcus-anterior-surface"),
    "precuneus": ("parietal", "parietal-mesial"),
    "rostralanteriorcingulate": ("frontal", "frontal-mesial"),
    "rostralmiddlefrontal": ("frontal", "frontal-lateral"),
    "superiorfrontal": ("frontal", "frontal-mesial"),
    "superiorparietal": ("parietal", "parietal-lateral-convexity"),
    "superiortemporal": ("temporal", "temporal-perisylvian-inferior-surface"),
    "supramarginal": ("parietal", "parietal-lateral-convexity"),
    "temporalpole": ("temporal", "temporal-polar"),
    "transversetemporal": ("temporal", "temporal-perisylvian-inferior-surface"),
}

#: What an aparc annotation calls vertices outside every region.
_NO_REGION = ("unknown", "corpuscallosum", "medialwall", "medial_wall", "Medial_wall", "???")

REGIONS = tuple(f"{name}-{side}" for side in ("lh", "rh") for name in sorted(_PLACES))
LOBES = ("frontal", "central", "parietal", "temporal", "occipital", "insula")


@dataclass(frozen=True)
class Region:
    """One region of the cortex, and where a reader looks for it.

    Attributes
    ----------
    name : as MNE labels are named (``cuneus-lh``). side : left or right.
    lobe : one of ``LOBES``. sublobe : a HED-SCORE place of source analysis in that lobe.
    """

    name: str
    side: str
    lobe: str
    sublobe: str

    @classmethod
    def named(cls, name: str) -> Region:
        """Make the region of this ``name``, such as ``cuneus-lh``.

        Raises
        ------
        InputError : a name that is none of ``REGIONS``.
        """
        stem, _, hemi = name.rpartition("-")
        if stem not in _PLACES or hemi not in ("lh", "rh"):
            raise InputError(
                f"{name!r} is not a Desikan-Killiany region; allowed are names such as "
                f"{REGIONS[0]!r}"
            )
        return cls(name, "left" if hemi == "lh" else "right", *_PLACES[stem])


@dataclass(frozen=True, eq=False)
class Parcellation:
    """Which region each source belongs to.

    Attributes
    ----------
    source_space : S sources. regions : P of them.
    labels : (S,) index into ``regions``, or ``OUTSIDE``.
    """

    source_space: SourceSpace
    regions: tuple[Region, ...]
    labels: NDArray[np.int16]

    def __repr__(self) -> str:
        return f"<Parcellation | {len(self.regions)} regions of {self.source_space}>"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(region.name for region in self.regions)

    @cached_property
    def areas(self) -> NDArray[np.float64]:
        """(P,) m² of cortex."""
        inside = self.labels >= 0
        areas = self.source_space.areas[inside]
        return np.asarray(np.bincount(self.labels[inside], areas, len(self.regions)), float)

    @property
    def shares(self) -> NDArray[np.float64]:
        """(P,) of the cortex that all regions have together."""
        return np.asarray(self.areas / self.areas.sum())

    @cached_property
    def membership(self) -> NDArray[np.bool_]:
        """(P, S) True where the source is in the region."""
        return np.arange(len(self.regions))[:, None] == self.labels

    def sources_of(self, region: str) -> NDArray[np.int64]:
        """Find the indices of the sources in the region with the name ``region``.

        Raises
        ------
        InputError : a name that is none of ``names``.
        """
        if region not in self.names:
            raise InputError(f"no region {region!r} here; allowed are {some(self.names)}")
        return np.flatnonzero(self.labels == self.names.index(region))

    def table(self) -> pd.DataFrame:
        """List the regions, one a row: region, side, lobe, sublobe, area_cm2, n_sources."""
        import pandas as pd

        rows = pd.DataFrame([vars(region) for region in self.regions])
        rows = rows.rename(columns={"name": "region"})
        rows["area_cm2"] = self.areas * 1e4
        rows["n_sources"] = self.membership.sum(axis=1)
        return rows

    def on(self, other: SourceSpace, max_distance: float = 0.010) -> Parcellation:
        """Give the sources ``other`` the same regions: each takes its nearest labelled source's.

        Sources farther than ``max_distance`` m from every labelled one are ``OUTSIDE``. Sources
        that are vertices of the same mesh, or of any fsaverage mesh of a level, take the label of
        the source in whose cell they lie.
        """
        mine = self.source_space
        on_fsaverage = mine.ico is not None and other.ico is not None
        if mine.mesh is not None and (other.mesh is mine.mesh or on_fsaverage):
            right = other.hemisphere == 1  # a finer fsaverage has more vertices on the left
            offset = other.mesh.n_left - mine.mesh.n_left if other.mesh is not None else 0
            theirs = np.asarray(other.vertices)
            vertices = np.where(right, theirs - offset, theirs)
            return Parcellation(other, self.regions, self.labels[mine.nearest_source[vertices]])
        from scipy.spatial import KDTree

        labelled = np.flatnonzero(self.labels >= 0)
        distance, nearest = KDTree(mine.positions[labelled]).query(other.positions)
        labels = np.where(distance <= max_distance, self.labels[labelled[nearest]], OUTSIDE)
        return Parcellation(other, self.regions, labels.astype(np.int16))


def parcellation_from_names(
    source_space: SourceSpace, names: Sequence[str | None] | Mapping[int, str]
) -> Parcellation:
    """Make a Desikan-Killiany parcellation of ``source_space`` from region ``names``.

    ``names`` has one name or None for each source, or maps some sources' indices to names.

    Raises
    ------
    InputError : names that are no regions, too few or too many of them.
    """
    named = names if isinstance(names, Mapping) else dict(enumerate(names))
    stray = [source for source in named if not 0 <= source < source_space.n_sources]
    if stray or not (isinstance(names, Mapping) or len(named) == source_space.n_sources):
        raise InputError(
            f"{len(named)} names up to source {max(named, default=-1)} were given for sources 0 to "
            f"{source_space.n_sources - 1}; give one name (or None) per source, or a mapping"
        )
    labels = np.full(source_space.n_sources, OUTSIDE, np.int16)
    order = {name: i for i, name in enumerate(REGIONS)}
    for source, name in named.items():
        if name is not None:
            labels[source] = order[Region.named(name).name]
    return Parcellation(source_space, tuple(map(Region.named, REGIONS)), labels)


def read_annotation(
    lh: str | Path, rh: str | Path, mesh: CorticalMesh, source_space: SourceSpace
) -> Parcellation:
    """Read a FreeSurfer ``aparc`` annotation of the subject's own surfaces.

    Parameters
    ----------
    lh, rh : .annot files of the two hemispheres. mesh : the surfaces that they label.
    source_space : sources on that mesh.

    Raises
    ------
    InputError : an annotation of another mesh, or with regions that are not Desikan-Killiany's.
    """
    from nibabel.freesurfer import read_annot

    names: list[str | None] = []
    sizes = (mesh.n_left, mesh.n_vertices - mesh.n_left)
    for path, hemi, size in zip((lh, rh), ("lh", "rh"), sizes, strict=True):
        try:
            index, _, words = read_annot(path)
        except Exception as error:  # nibabel raises many kinds for foreign files
            raise InputError(
                f"{Path(path).name} is not a readable annotation ({type(error).__name__}); give a "
                "FreeSurfer .aparc.annot file"
            ) from error
        if len(index) != size:
            raise InputError(
                f"{Path(path).name} labels {len(index)} vertices, the {hemi} surface has {size}: "
                "give the annotation of the same subject and resolution"
            )
        stems = [word.decode() for word in words]
        foreign = {stems[i] for i in set(index.tolist()) if i >= 0} - {*_PLACES, *_NO_REGION}
        if foreign:
            raise InputError(
                f"{Path(path).name} has regions that are not Desikan-Killiany's "
                f"({some(sorted(foreign))}); give the aparc annotation"
            )
        names += [f"{stems[i]}-{hemi}" if i >= 0 and stems[i] in _PLACES else None for i in index]
    if source_space.mesh is not mesh or source_space.vertices is None:
        raise InputError("the source space must be on the mesh that the annotation labels")
    return parcellation_from_names(source_space, [names[v] for v in source_space.vertices])
