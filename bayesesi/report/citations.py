"""List what to cite: the sources of what ran for a result, and of nothing else."""

from __future__ import annotations

from bayesesi.report.checks import family_of
from bayesesi.report.reading import Reading

_SOURCES = {
    "arviz": "Kumar et al. 2019, ArviZ, J Open Source Softw 4:1143. doi:10.21105/joss.01143",
    "atlas": "Desikan et al. 2006, An automated labeling system for subdividing the human cerebral "
    "cortex, NeuroImage 31:968. doi:10.1016/j.neuroimage.2006.01.021",
    "bem": "Gramfort et al. 2010, OpenMEEG, BioMed Eng OnLine 9:45. doi:10.1186/1475-925X-9-45",
    "conformal": "Angelopoulos & Bates 2023, Conformal prediction: a gentle introduction, Found "
    "Trends Mach Learn 16:494. doi:10.1561/2200000101",
    "flow matching": "Lipman et al. 2023, Flow matching for generative modeling, ICLR. "
    "arXiv:2210.02747",
    "fsaverage": "Fischl et al. 1999, High-resolution intersubject averaging and a coordinate "
    "system for the cortical surface, Hum Brain Mapp 8:272. "
    "doi:10.1002/(SICI)1097-0193(1999)8:4<272::AID-HBM10>3.0.CO;2-4",
    "isotonic": "Zadrozny & Elkan 2002, Transforming classifier scores into accurate multiclass "
    "probability estimates, KDD. doi:10.1145/775047.775151",
    "minimum norm": "Hämäläinen & Ilmoniemi 1994, Interpreting magnetic fields of the brain: "
    "minimum norm estimates, Med Biol Eng Comput 32:35. doi:10.1007/BF02512476",
    "mne": "Gramfort et al. 2013, MEG and EEG data analysis with MNE-Python, Front Neurosci 7:267. "
    "doi:10.3389/fnins.2013.00267",
    "mni152": "Fonov et al. 2011, Unbiased average age-appropriate atlases for pediatric studies, "
    "NeuroImage 54:313. doi:10.1016/j.neuroimage.2010.07.033",
    "quantiles": "Romano, Patterson & Candès 2019, Conformalized quantile regression, NeurIPS. "
    "arXiv:1905.03222",
    "r_hat": "Vehtari et al. 2021, Rank-normalization, folding, and localization: an improved "
    "R-hat, Bayesian Anal 16:667. doi:10.1214/20-BA1221",
    "sbi": "Tejero-Cantero et al. 2020, sbi: a toolkit for simulation-based inference, J Open "
    "Source Softw 5:2505. doi:10.21105/joss.02505",
    "score": "Beniczky et al. 2017, Standardized computer-based organized reporting of EEG: "
    "SCORE, second version, Clin Neurophysiol 128:2334. doi:10.1016/j.clinph.2017.07.418",
    "sparse bayes": "Wipf & Nagarajan 2009, A unified Bayesian framework for MEG/EEG source "
    "imaging, NeuroImage 44:947. doi:10.1016/j.neuroimage.2008.02.059",
}


def citations(reading: Reading) -> list[str]:
    """List what to cite, in alphabetical order.

    Parameters
    ----------
    reading : of the result.
    """
    wanted = {"mne", "arviz"}
    wanted.update(family_of(reading).citations)
    if reading.about["head"]["forward"] == "template":
        wanted |= {"fsaverage", "bem"}
    if reading.has_regions:
        wanted |= {"atlas", "score"}
    if reading.template_vertices is not None and reading.localisable:
        wanted.add("mni152" if reading.image is None else "fsaverage")
    if reading.result.region_set is not None:
        wanted.add("conformal")
    found = reading.about["calibration"]
    if not found.get("why_not"):
        wanted |= {"isotonic", *(("quantiles",) if found.get("moment") else ())}
    return sorted(_SOURCES[name] for name in wanted)
