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
MRICRON_DATA = Package(
    "debian",
    "mricron-data",
    "1.2.20211006+dfsg-4",
    "mricron-data_1.2.20211006+dfsg-4_all.deb",
    "d40aa0ed66cf89bf6cafa049ad3884703c9d975c2ee2737525b7196528df9d6f",
    16_122_652,
)
